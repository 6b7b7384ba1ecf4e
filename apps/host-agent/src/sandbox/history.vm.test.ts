/**
 * Random histories of a real guest, beside a model of what its memory and disk hold: writes, zeroed pages,
 * memory freed and used again, files rewritten; pauses, resumes, live checkpoints, deaths, and the collapses
 * behind them. Compared byte for byte after every step that could lose any.
 */
import { deepEqual, equal } from "node:assert/strict";
import { createHash, randomInt } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { leakGate } from "../../../../tests/leaks/gate.ts";
import { Qcow2Store } from "../disk/qcow2/qcow2-store.ts";
import { runInGuest } from "../envd/run-in-guest.ts";
import { openLayer } from "../snapshot/layer.ts";
import { flattenLayer } from "../snapshot/rewrite-layer.ts";
import { verifyLayer } from "../snapshot/verify-layer.ts";
import { startTestHost, type TestHost } from "../testing/host-fixture.ts";
import { stopLeftover } from "../vmm/shim.ts";
import type { SandboxView } from "./manager.ts";

const full = process.env["WRENN_TEST_FULL"] === "1";
const STEPS = full ? 300 : 6;
const SEED = Number(process.env["WRENN_TEST_SEED"] ?? randomInt(2 ** 31));
const PAGE = 4096;
const PAGES = 2048;
const FILES = { memory: "/dev/shm/history", disk: "/root/history" } as const;
type Kind = keyof typeof FILES;

/** In the guest: writes pages that a seed tells, zeros, or frees a whole file. */
const SCRIPT = `
import hashlib, os, sys
path, what, page, count, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
if what == "free":
    if os.path.exists(path): os.unlink(path)
    with open(path, "wb") as file: file.truncate(${PAGES * PAGE})
else:
    with open(path, "r+b") as file:
        file.seek(page * ${PAGE})
        for n in range(page, page + count):
            file.write(bytes(${PAGE}) if what == "zero" else hashlib.sha256(b"%d:%d" % (seed, n)).digest() * ${PAGE / 32})
`;

const signal = (): AbortSignal => AbortSignal.timeout(120_000);
let host: TestHost;
leakGate(() => ({ stateDirectory: host.stateDirectory, directories: [`${host.stateDirectory}/sandboxes`] }));

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
      const history = await History.begin();
      for (let step = 0; step < STEPS; step++) {
        const action = history.choose();
        try {
          await history.change();
          await history[action]();
          await history.compare();
        } catch (error) {
          throw new Error(`step ${step}, ${action}: ${String(error)}`, { cause: error });
        }
      }
      await history.end();
      expect(host.manager.list()).toEqual([]);
    },
    full ? 4 * 3_600_000 : 300_000,
  );
});

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
    for (const kind of ["memory", "disk"] as const) await history.#run(kind, "free", 0, PAGES, 0);
    return history;
  }

  /** xorshift32: a printed seed repeats the history. */
  #next(below: number): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x >>> 0;
    return this.#random % below;
  }

  choose(): "pauseAndResume" | "checkpoint" | "die" | "pauseTwice" {
    return (["pauseAndResume", "pauseAndResume", "checkpoint", "die", "pauseTwice"] as const)[this.#next(5)] ?? "die";
  }

  /** Some writes, zeroings and freeings. */
  async change(): Promise<void> {
    for (let n = 1 + this.#next(3); n > 0; n--) {
      const kind = (["memory", "disk"] as const)[this.#next(2)] as Kind;
      const what = (["data", "data", "zero", this.#next(4) === 0 ? "free" : "data"] as const)[this.#next(4)] ?? "data";
      const page = this.#next(PAGES);
      const count = 1 + this.#next(Math.min(300, PAGES - page));
      await this.#run(kind, what, page, count, this.#next(2 ** 20));
    }
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
    const tools = { pager: host.pager, disks: new Qcow2Store() };
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
    const layers = join(host.stateDirectory, "sandboxes", id, "layers");
    const layer = await openLayer(join(layers, host.manager.get(id).layer as string));
    const files = await verifyLayer(layer, { pager: host.pager, disks: new Qcow2Store() }, signal());
    deepEqual(
      files.filter(({ problem }) => problem !== undefined),
      [],
    );
    await host.manager.destroy(id, 0);
  }

  async #resume(): Promise<void> {
    const { id, incarnation } = this.#sandbox;
    ({ sandbox: this.#sandbox } = await host.manager.resume(id, incarnation + 1, undefined));
  }

  async #run(kind: Kind, what: "data" | "zero" | "free", page: number, count: number, seed: number): Promise<void> {
    await this.#shell(["/usr/bin/python3", "/root/step.py", FILES[kind], what, ...[page, count, seed].map(String)]);
    const model = this.#model[kind];
    if (what === "free") model.fill(0);
    for (let n = page; what !== "free" && n < page + count; n++) {
      const bytes = what === "zero" ? Buffer.alloc(1) : createHash("sha256").update(`${seed}:${n}`).digest();
      model.fill(bytes, n * PAGE, (n + 1) * PAGE);
    }
  }

  async #shell(argv: readonly [string, ...string[]]): Promise<string> {
    using lease = host.manager.use(this.#sandbox.id, this.#sandbox.incarnation);
    const { exitCode, output } = await runInGuest(lease.agent, argv, "root", signal());
    equal(exitCode, 0, output);
    return output.trim();
  }
}
