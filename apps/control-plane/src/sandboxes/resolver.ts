/**
 * Brings one row and its host together: asks the host, decides, acts. Used by the reconciler for all
 * sandboxes, and by an operation whose call failed in a way that leaves its outcome open.
 */
import type { FastifyBaseLogger } from "fastify";
import { WrennError } from "@wrenn/errors";
import type { AgentClient } from "../agent/agent-client.ts";
import type { SandboxRow } from "../database/tables.ts";
import { deadlineOf } from "./deadline.ts";
import { decide } from "./decide.ts";
import { observe, type ObservedSandbox } from "./observed.ts";
import type { SandboxStore } from "./sandbox-store.ts";

export class Resolver {
  readonly #store: SandboxStore;
  readonly #agent: AgentClient;
  readonly #log: FastifyBaseLogger;
  readonly #settledAgeMs: number;
  readonly #onCorrection: (action: string) => void;

  constructor(options: {
    store: SandboxStore;
    agent: AgentClient;
    log: FastifyBaseLogger;
    /** See `decide`. */
    settledAgeMs: number;
    /** Told of everything that is done so that row and host agree. */
    onCorrection?: (action: string) => void;
  }) {
    this.#onCorrection = options.onCorrection ?? (() => undefined);
    this.#settledAgeMs = options.settledAgeMs;
    this.#store = options.store;
    this.#agent = options.agent;
    this.#log = options.log;
  }

  /**
   * Asks the host about one sandbox and acts on the answer.
   * @param options.settled true when the caller knows that no operation is under way.
   * @param options.goneReason what the host said when it reported that the sandbox is gone.
   * @returns the row afterwards; undefined when there is none.
   */
  async resolveOne(
    id: string,
    options: { settled?: boolean; goneReason?: string | undefined } = {},
  ): Promise<SandboxRow | undefined> {
    const found = await this.#store.findAny(id);
    if (found === undefined) return undefined;
    const observed = await this.#ask(id);
    await this.act(found.row, observed, options.settled === true ? Infinity : found.ageMs, options.goneReason);
    return (await this.#store.findAny(id))?.row;
  }

  /** Acts on what a host says of the sandbox of `row`. @returns what was done. */
  async act(
    row: SandboxRow,
    observed: ObservedSandbox | undefined,
    ageMs: number,
    goneReason?: string,
  ): Promise<string> {
    if (observed !== undefined && observed.health !== row.health && runsAs(row, observed))
      await this.#store.recordHealth(row, observed.health);
    const decision = decide(row, observed, ageMs, this.#settledAgeMs);
    if (decision.do !== "nothing") this.#onCorrection(decision.do);
    switch (decision.do) {
      case "nothing":
        return decision.do;
      case "record": {
        const reason = decision.state === "gone" ? (goneReason ?? decision.reason) : decision.reason;
        const changed =
          decision.state === row.state
            ? await this.#store.adoptIncarnation(row, decision.incarnation)
            : await this.#store.transition(
                row.id,
                {
                  to: decision.state,
                  incarnation: decision.incarnation,
                  resumable: decision.resumable,
                  ...(reason === undefined ? {} : { reason }),
                },
                { from: [row.state], incarnation: row.incarnation, updatedAt: row.updated_at },
              );
        if (changed === undefined) return "overtaken"; // the row changed meanwhile: whoever changed it knows more
        this.#log.info(
          { sandbox: row.id, from: row.state, to: decision.state, incarnation: decision.incarnation, reason },
          "sandbox follows its host",
        );
        if (changed.state === "running" && changed.end_at !== null) await this.sendDeadline(changed);
        return decision.do;
      }
      case "destroy":
        this.#log.warn(
          { sandbox: row.id, state: row.state, onHost: observed?.state },
          "destroying what the host should not have",
        );
        await this.#agent.destroySandbox(row.id);
        return decision.do;
      case "finish-destroy":
        await this.#agent.destroySandbox(row.id);
        await this.#store.transition(
          row.id,
          { to: "gone", ...(row.reason === null ? {} : { reason: row.reason }) },
          { from: ["destroying"] },
        );
        this.#log.info({ sandbox: row.id }, "finished an interrupted destroy");
        return decision.do;
      case "send-deadline":
        await this.sendDeadline(row);
        return decision.do;
    }
  }

  /** Tells the host the deadlines of a running sandbox. The row is the truth: a failure is mended later. */
  async sendDeadline(row: SandboxRow): Promise<void> {
    try {
      await this.#agent.setDeadline({ id: row.id, incarnation: BigInt(row.incarnation), deadline: deadlineOf(row) });
    } catch (error) {
      this.#log.warn({ sandbox: row.id, err: error }, "cannot set the deadline on the host; the reconciler repeats it");
    }
  }

  async #ask(id: string): Promise<ObservedSandbox | undefined> {
    try {
      return observe(await this.#agent.getSandbox(id));
    } catch (error) {
      if (WrennError.from(error).code === "not_found") return undefined;
      throw error;
    }
  }
}

/** Whether row and host mean the same run of a guest. */
function runsAs(row: SandboxRow, observed: ObservedSandbox): boolean {
  return row.state === "running" && observed.state === "running" && row.incarnation === observed.incarnation;
}
