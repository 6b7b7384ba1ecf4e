/**
 * Random histories of a real guest, beside a model of what its memory and disk hold: writes, zeroed pages,
 * memory freed and used again, files rewritten; pauses, resumes, live checkpoints, forks, templates, deaths, and
 * the collapses behind them. Compared byte for byte after every step that could lose any. A full run can be ended
 * and gone on with (`WRENN_TEST_JOURNAL`): then its steps are of several histories.
 */
import { deepEqual, equal } from "node:assert/strict";
import { createHash, randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { patient } from "../../../../tests/config.ts";
import { Journal } from "../../../../tests/host-agent/journal.ts";
import { leakGate } from "../../../../tests/leaks/gate.ts";
import { runInGuest } from "../envd/run-in-guest.ts";
import { flattenLayer } from "../snapshot/rewrite-layer.ts";
import { verifyLayer } from "../snapshot/verify-layer.ts";
import { startTestHost, type TestHost } from "../testing/host-fixture.ts";
import { problemsOfLastLayer } from "../testing/layer-problems.ts";
import { stopLeftover } from "../vmm/shim.ts";
import type { SandboxView } from "./manager.ts";

const full = process.env["WRENN_TEST_FULL"] === "1";
const STEPS = full ? 300 : 6;
const SEED = Number(process.env["WRENN_TEST_SEED"] ?? randomInt(2 ** 31));
const PAGE = 4096;
const PAGES = 1024;
const FILES = { memory: "/dev/shm/history", disk: "/root/history" } as const;
type Kind = keyof typeof FILES;

/** One thing that the guest does to a file. */
interface Write {
  kind: Kind;
  what: "data" | "zero" | "free";
  page: number;
  count: number;
  seed: number;
}

/** In the guest: writes pages that a seed tells, zeros, or frees a whole file; a list of such writes. */
const SCRIPT = `
import hashlib, json, os, sys
for write in json.loads(sys.argv[1]):
    path, page = ${JSON.stringify(FILES)}[write["kind"]], write["page"]
    if write["what"] == "free":
        if os.path.exists(path): os.unlink(path)
        with open(path, "wb") as file: file.truncate(${PAGES * PAGE})
        continue
    with open(path, "r+b") as file:
        file.seek(page * ${PAGE})
        for n in range(page, page + write["count"]):
            file.write(bytes(${PAGE}) if write["what"] == "zero" else hashlib.sha256(b"%d:%d" % (write["seed"], n)).digest() * ${PAGE / 32})
`;

const signal = (): AbortSignal => AbortSignal.timeout(patient(120_000));
let host: TestHost;
leakGate(() => ({
  stateDirectory: host.stateDirectory,
  directories: ["sandboxes", "templates"].map((name) => join(host.stateDirectory, name)),
}));

beforeAll(async () => {
  // Four generations are joined, so that a short history has collapses too.
  host = await startTestHost({ collapseGenerations: 4 });
});
afterAll(async () => {
  await host.stop();
});

describe("any history of a sandbox", () => {
  it(
    `keeps every byte (WRENN_TEST_SEED=${SEED})`,
    async () => {
      const journal = new Journal<{ what: string; action: Action; ms: number }>("history");
      const history = await History.begin();
      for (let step = 0; journal.entries.length < STEPS && !journal.timeIsOver; step++) {
        const action = history.choose();
        const startedAt = performance.now();
        try {
          await history.change();
          await history[action]();
          await history.compare();
        } catch (error) {
          throw new Error(`step ${step}, ${action}: ${String(error)}`, { cause: error });
        }
        const ms = Math.round(performance.now() - startedAt);
        journal.add({ what: `seed ${SEED}, step ${step}`, action, ms });
        if (full) process.stdout.write(`seed ${SEED}, step ${step}: ${action}, ${ms} ms\n`);
      }
      await history.end();
      expect(host.manager.list()).toEqual([]);
    },
    patient(full ? 4 * 3_600_000 : 300_000),
  );
});

const ACTIONS = ["pauseAndResume", "pauseTwice", "checkpoint", "fork", "template", "die"] as const;
type Action = (typeof ACTIONS)[number];

type Model = Record<Kind, Buffer>;

class History {
  #sandbox: SandboxView;
  #model: Model = { memory: Buffer.alloc(PAGES * PAGE), disk: Buffer.alloc(PAGES * PAGE) };
  #random = SEED || 1;

  private constructor(sandbox: SandboxView) {
    this.#sandbox = sandbox;
  }

  static async begin(): Promise<History> {
    const { sandbox } = await host.manager.create(host.request());
    const history = new History(sandbox);
    using lease = host.manager.use(sandbox.id, 1);
    await lease.agent.upload({ path: "/root/step.py", user: "root" }, Readable.from([SCRIPT]), signal());
    const free = (kind: Kind): Write => ({ kind, what: "free", page: 0, count: PAGES, seed: 0 });
    await history.#write([free("memory"), free("disk")]);
    return history;
  }

  /** xorshift32: a printed seed repeats the history. */
  #next(below: number): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x >>> 0;
    return (this.#random >>> 8) % below; // its lowest bits follow each other
  }

  /** Every other step is the commonest one. */
  choose(): Action {
    return this.#next(2) === 0 ? "pauseAndResume" : (ACTIONS[this.#next(ACTIONS.length)] ?? "die");
  }

  /** Some writes, zeroings and freeings. */
  async change(): Promise<void> {
    const writes = Array.from({ length: 1 + this.#next(3) }, (): Write => {
      const kind = (["memory", "disk"] as const)[this.#next(2)] as Kind;
      const what = (["data", "data", "zero", this.#next(4) === 0 ? "free" : "data"] as const)[this.#next(4)] ?? "data";
      const page = this.#next(PAGES);
      return { kind, what, page, count: 1 + this.#next(Math.min(300, PAGES - page)), seed: this.#next(2 ** 20) };
    });
    await this.#write(writes);
  }

  async pauseAndResume(): Promise<void> {
    await host.manager.pause(this.#sandbox.id, this.#sandbox.incarnation);
    await this.#resume();
  }

  /** Back at once, with nothing done in between: an empty difference. */
  async pauseTwice(): Promise<void> {
    await this.pauseAndResume();
    await this.pauseAndResume();
  }

  /** A copy of this moment is made behind the guest, which goes on; the copy is whole. */
  async checkpoint(): Promise<void> {
    using held = await host.manager.holdPresentLayer(this.#sandbox.id, this.#sandbox.incarnation);
    await this.change();
    const parent = await mkdtemp(join(host.stateDirectory, "flat-"));
    const tools = { pager: host.pager, disks: host.disks };
    const target = { buildId: "flat", parent, diskDirectory: parent, diskId: "disk" };
    const flat = await flattenLayer(held.layer, target, undefined, tools, signal());
    for (const layer of [held.layer, flat]) {
      const files = await verifyLayer(layer, tools, signal());
      deepEqual(
        files.filter(({ problem }) => problem !== undefined),
        [],
      );
    }
    await rm(parent, { recursive: true });
  }

  /** A child holds the same, whatever the source does meanwhile; one of the two is what the history goes on with. */
  async fork(): Promise<void> {
    const source = this.#sandbox;
    const { id, incarnation, deadline, accessToken } = host.request();
    const children = [{ id, incarnation, deadline, accessToken }];
    const { children: made } = await host.manager.fork({ id: source.id, incarnation: source.incarnation, children });
    const forked = { memory: Buffer.from(this.#model.memory), disk: Buffer.from(this.#model.disk) };
    await this.change();
    await this.#other(made[0] as SandboxView, forked);
  }

  /** A sandbox of a template of this moment holds the same, once the template is deleted too. */
  async template(): Promise<void> {
    const { id, incarnation } = this.#sandbox;
    const buildId = `bld_${crypto.randomUUID().replaceAll("-", "").slice(0, 20)}`;
    const { build } = await host.manager.snapshot({ id, incarnation, buildId, name: "history" });
    const taken = { memory: Buffer.from(this.#model.memory), disk: Buffer.from(this.#model.disk) };
    await this.change();
    const request = host.request({ templateBuildId: buildId, resources: build.resources });
    const { sandbox } = await host.manager.create(request);
    await host.manager.templates.delete(buildId);
    await this.#other(sandbox, taken);
  }

  /** Compares another sandbox; it or the present one is what the history goes on with. */
  async #other(sandbox: SandboxView, model: Model): Promise<void> {
    const present = { sandbox: this.#sandbox, model: this.#model };
    this.#sandbox = sandbox;
    this.#model = model;
    await this.compare();
    const gone = this.#next(2) === 0 ? present.sandbox : sandbox;
    if (gone === sandbox) {
      this.#sandbox = present.sandbox;
      this.#model = present.model;
    }
    await host.manager.destroy(gone.id, 0);
  }

  /** What was captured last is what it goes back to. */
  async die(): Promise<void> {
    const held = await host.manager.holdPresentLayer(this.#sandbox.id, this.#sandbox.incarnation);
    held[Symbol.dispose]();
    const captured = { memory: Buffer.from(this.#model.memory), disk: Buffer.from(this.#model.disk) };
    await this.change();
    const failed = Promise.withResolvers<void>();
    const onChange = ({ id, state }: SandboxView): void => {
      if (id === this.#sandbox.id && state === "failed") failed.resolve();
    };
    host.manager.events.on("changed", onChange);
    await stopLeftover(join(host.stateDirectory, "sandboxes", this.#sandbox.id));
    await failed.promise;
    host.manager.events.off("changed", onChange);
    this.#model = captured;
    await this.#resume();
  }

  async compare(): Promise<void> {
    const output = await this.#shell(["/usr/bin/sha256sum", FILES.memory, FILES.disk]);
    const found = output.split("\n").map((line) => line.split(" ")[0]);
    const wanted = [this.#model.memory, this.#model.disk].map((bytes) =>
      createHash("sha256").update(bytes).digest("hex"),
    );
    deepEqual(found, wanted);
  }

  async end(): Promise<void> {
    const { id, incarnation } = this.#sandbox;
    await host.manager.pause(id, incarnation);
    deepEqual(await problemsOfLastLayer(host, this.#sandbox), []);
    await host.manager.destroy(id, 0);
  }

  async #resume(): Promise<void> {
    const { id, incarnation } = this.#sandbox;
    ({ sandbox: this.#sandbox } = await host.manager.resume(id, incarnation + 1, undefined));
  }

  async #write(writes: readonly Write[]): Promise<void> {
    await this.#shell(["/usr/bin/python3", "-IS", "/root/step.py", JSON.stringify(writes)]);
    for (const { kind, what, page, count, seed } of writes) {
      const model = this.#model[kind];
      if (what === "free") model.fill(0);
      for (let n = page; what !== "free" && n < page + count; n++) {
        const bytes = what === "zero" ? Buffer.alloc(1) : createHash("sha256").update(`${seed}:${n}`).digest();
        model.fill(bytes, n * PAGE, (n + 1) * PAGE);
      }
    }
  }

  async #shell(argv: readonly [string, ...string[]]): Promise<string> {
    using lease = host.manager.use(this.#sandbox.id, this.#sandbox.incarnation);
    const { exitCode, output } = await runInGuest(lease.agent, argv, "root", signal());
    equal(exitCode, 0, output);
    return output.trim();
  }
}
