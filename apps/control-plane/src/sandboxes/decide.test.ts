import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decide as decideAt, type DecidableRow } from "./decide.ts";
import type { ObservedSandbox } from "./observed.ts";
import { isTransitional, SANDBOX_STATES, TRANSITIONS, type SandboxState } from "./state.ts";

const STARTED = "2026-11-22T00:00:00.000000Z";

function row(state: SandboxState, incarnation = 2, overrides: Partial<DecidableRow> = {}): DecidableRow {
  return {
    state,
    incarnation,
    reason: null,
    started_at: state === "creating" ? null : STARTED,
    idle_timeout_sec: 300,
    end_at: null,
    ...overrides,
  };
}

function host(state: SandboxState, incarnation = 2, overrides: Partial<ObservedSandbox> = {}): ObservedSandbox {
  return {
    id: "sb00000000000000000000",
    incarnation,
    state,
    reason: undefined,
    resumable: state === "paused",
    health: "responsive",
    idleTimeoutSec: 300,
    endAtMs: undefined,
    lastActiveAt: undefined,
    storedBytes: undefined,
    ...overrides,
  };
}

const old = 60_000;
const young = old - 1;
const decide = (given: DecidableRow, observed: ObservedSandbox | undefined, ageMs: number) =>
  decideAt(given, observed, ageMs, old);

describe("decide()", () => {
  it.each<[string, DecidableRow, ObservedSandbox | undefined, SandboxState, number]>([
    ["a creation that is done", row("creating"), host("running"), "running", 2],
    ["a pause that is done", row("pausing"), host("paused"), "paused", 2],
    ["a resume that is done", row("resuming", 3), host("running", 3), "running", 3],
    ["a pause by the host at a deadline", row("running"), host("paused"), "paused", 2],
    ["a guest that died", row("running"), host("failed"), "failed", 2],
    ["a resumed guest that was paused again by the host", row("resuming", 3), host("paused", 3), "paused", 3],
    ["a running sandbox that the host has no more", row("running"), undefined, "gone", 2],
    ["a paused sandbox that the host has no more", row("paused"), undefined, "gone", 2],
    ["a resume that was given up and succeeded all the same", row("paused", 2), host("running", 3), "running", 3],
  ])("believes at once: %s", (_, given, observed, state, incarnation) => {
    expect(decide(given, observed, 0)).toMatchObject({ do: "record", state, incarnation });
  });

  it.each<[string, DecidableRow, ObservedSandbox | undefined, SandboxState, number]>([
    ["a creation that never reached the host", row("creating"), undefined, "failed", 2],
    ["a pause that never reached the host", row("pausing"), host("running"), "running", 2],
    ["a resume that never reached the host", row("resuming", 3), host("paused", 2), "paused", 2],
    ["a resume of a sandbox that the host has no more", row("resuming", 3), undefined, "gone", 3],
    ["a resume of a failed sandbox that never reached the host", row("resuming", 3), host("failed", 2), "failed", 2],
  ])("gives time to: %s", (_, given, observed, state, incarnation) => {
    expect(decide(given, observed, young)).toEqual({ do: "nothing" });
    expect(decide(given, observed, old)).toMatchObject({ do: "record", state, incarnation });
  });

  it("destroys what is gone here, and what a failed creation left, but never a paused sandbox that ran", () => {
    expect(decide(row("gone"), host("running"), 0)).toEqual({ do: "destroy" });
    const failedCreate = row("failed", 1, { started_at: null });
    expect(decide(failedCreate, host("running", 1), old)).toEqual({ do: "destroy" });
    expect(decide(failedCreate, undefined, old)).toMatchObject({ do: "record", state: "gone" });
    expect(decide(row("failed"), host("paused"), old)).not.toEqual({ do: "destroy" });
  });

  it("finishes a destroy that was interrupted", () => {
    expect(decide(row("destroying"), host("running"), young)).toEqual({ do: "nothing" });
    expect(decide(row("destroying"), host("running"), old)).toEqual({ do: "finish-destroy" });
    expect(decide(row("destroying"), undefined, old)).toEqual({ do: "finish-destroy" });
  });

  it("tells a running sandbox's deadlines to a host that has others", () => {
    expect(decide(row("running"), host("running"), 0)).toEqual({ do: "nothing" });
    expect(decide(row("running"), host("running", 2, { idleTimeoutSec: 5 }), 0)).toEqual({ do: "send-deadline" });
    const ends = row("running", 2, { end_at: "2026-11-22T01:00:00.000900Z" });
    expect(decide(ends, host("running"), 0)).toEqual({ do: "send-deadline" });
    expect(decide(ends, host("running", 2, { endAtMs: Date.parse("2026-11-22T01:00:00.000Z") }), 0)).toEqual({
      do: "nothing",
    });
  });

  const state = fc.constantFrom(...SANDBOX_STATES);
  const cases = fc.record({
    row: fc.record({ state, incarnation: fc.integer({ min: 1, max: 4 }) }).map((r) => row(r.state, r.incarnation)),
    observed: fc.option(
      fc.record({ state, incarnation: fc.integer({ min: 1, max: 4 }) }).map((o) => host(o.state, o.incarnation)),
      { nil: undefined },
    ),
    ageMs: fc.constantFrom(0, young, old, Infinity),
  });

  it("records only what the transition table allows, and never overtakes a host at work", () => {
    fc.assert(
      fc.property(cases, ({ row: given, observed, ageMs }) => {
        const decision = decide(given, observed, ageMs);
        const recorded = decision.do === "record" ? decision.state : undefined;
        expect(recorded === undefined || recorded === given.state || TRANSITIONS[given.state].includes(recorded)).toBe(
          true,
        );
        const hostWorks = observed !== undefined && isTransitional(observed.state);
        expect(hostWorks && recorded !== undefined).toBe(false);
      }),
    );
  });

  it("comes to rest: what it recorded it does not change again for the same answer of the host", () => {
    fc.assert(
      fc.property(cases, ({ row: given, observed }) => {
        const decision = decide(given, observed, Infinity);
        fc.pre(decision.do === "record");
        const after = row(decision.state, decision.incarnation, {
          started_at: decision.state === "running" || decision.state === "paused" ? STARTED : given.started_at,
        });
        const next = decide(after, observed, Infinity);
        // the cleaning up after a failed creation is the one thing that follows
        expect(next.do === "nothing" || next.do === "destroy" || (next.do === "record" && next.state === "gone")).toBe(
          true,
        );
      }),
    );
  });
});
