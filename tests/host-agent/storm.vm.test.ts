/**
 * A random storm: agent, shims, VMMs, control plane and database are killed with -9 while clients create, use,
 * pause, resume and destroy. Afterwards everything is usable or can be destroyed, and nothing is left behind.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it, vi } from "vitest";
import { startPlatform, type Platform } from "../first-light/platform.ts";
import { leakGate } from "../leaks/gate.ts";

const full = process.env["WRENN_TEST_FULL"] === "1";
const STORM_MS = 60_000 * Number(process.env["WRENN_TEST_MINUTES"] ?? 10);
const SETTLE_MS = 180_000;
/** Its time must not be over while the storm goes on. */
const FOR_EVER = { timeout_sec: 0 };
const CLIENTS = 3;
/** What a client leaves alone: all of them together fit the slots and the memory of a small machine. */
const KEPT_BY_CLIENT = 6;
/** Long enough for what was killed to serve again on a busy machine: a storm in which nothing is up tests nothing. */
const BETWEEN_KILLS_MS = 6_000;

leakGate();

/** mulberry32: the same storm again from the same seed, as far as the machine allows. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Victim {
  kind: string;
  pid: number;
}

/** Everything of this platform that may be killed: its processes by their command lines. */
async function victims(directory: string): Promise<Victim[]> {
  const found: Victim[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const argv = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
    const environment = await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "");
    const ours = environment.includes(`WRENN_DIR=${directory}\0`);
    const kind =
      argv.some((argument) => argument.endsWith("apps/host-agent/src/main.ts")) && ours
        ? "agent"
        : argv.some((argument) => argument.endsWith("apps/control-plane/src/main.ts")) && ours
          ? "control plane"
          : argv[1] === "run" && argv[2]?.startsWith(`${directory}/`)
            ? "shim"
            : /qemu-system|firecracker/.test(argv[0] ?? "") &&
                argv.some((argument) => argument.includes(`${directory}/`))
              ? "vmm"
              : argv[0]?.endsWith("/postgres") && argv.some((argument) => argument.startsWith(`${directory}/`))
                ? "database"
                : undefined;
    if (kind !== undefined) found.push({ kind, pid: Number(pid) });
  }
  return found;
}

type Answer = Awaited<ReturnType<Platform["request"]>>;

// Only with --full: a storm that is short kills next to nothing. `WRENN_TEST_MINUTES=N` makes it another length.
describe.runIf(full)("a storm of kill -9", () => {
  it(
    "leaves everything usable or destroyed, and nothing behind",
    async () => {
      const seed = Number(process.env["WRENN_TEST_SEED"] ?? Date.now() % 1_000_000);
      const random = randomFrom(seed);
      const platform = await startPlatform({ WRENN_SLOT_FIRST: "25000", WRENN_RECONCILE_INTERVAL_SEC: "2" });
      const killed: Record<string, number> = {};
      const answers: Record<string, number> = {};
      /** Answers of 500, which mean a defect: what was killed is unreachable, unavailable or lost, never that. */
      const failures: { request_id: string }[] = [];
      let created = 0;
      try {
        const ask = async (method: string, path: string, body?: unknown): Promise<Answer | undefined> => {
          const answer = await platform.request(method, path, body).catch(() => undefined);
          const name = `${method} ${answer?.status ?? "cut"}`;
          answers[name] = (answers[name] ?? 0) + 1;
          if (answer?.status === 500) failures.push(answer.body.error);
          return answer;
        };
        // the golden snapshot of all of them
        const first = await platform.request("POST", "/v1/sandboxes", FOR_EVER);
        expect(first.status).toBe(201);
        await platform.request("DELETE", `/v1/sandboxes/${first.body.id}`);
        const end = Date.now() + STORM_MS;
        const client = async (): Promise<void> => {
          let kept = 0;
          while (Date.now() < end) {
            const answer = await ask("POST", "/v1/sandboxes", FOR_EVER);
            const id = answer?.body?.id;
            if (id === undefined) {
              await setTimeout(500);
              continue;
            }
            created++;
            const path = `/v1/sandboxes/${id}`;
            for (let step = 0; step < 4 && Date.now() < end; step++) {
              const dice = random();
              if (dice < 0.5) await ask("POST", `${path}/exec`, { cmd: "echo", args: ["hi"] });
              else if (dice < 0.75) await ask("POST", `${path}/pause`);
              else await ask("POST", `${path}/resume`);
            }
            if (kept < KEPT_BY_CLIENT && random() < 0.2) kept++;
            else while ((await ask("DELETE", path))?.status !== 204 && Date.now() < end) await setTimeout(500);
          }
        };
        const killer = async (): Promise<void> => {
          while (Date.now() < end) {
            await setTimeout(BETWEEN_KILLS_MS * (0.5 + random()));
            const all = await victims(platform.directory);
            const kinds = [...new Set(all.map(({ kind }) => kind))].toSorted();
            const kind = kinds[Math.floor(random() * kinds.length)];
            const those = all.filter((victim) => victim.kind === kind);
            const victim = those[Math.floor(random() * those.length)];
            if (victim === undefined) continue;
            try {
              process.kill(victim.pid, "SIGKILL");
              killed[victim.kind] = (killed[victim.kind] ?? 0) + 1;
            } catch {
              // it had ended by itself
            }
          }
        };
        await Promise.all([killer(), ...Array.from({ length: CLIENTS }, client)]);
        const left = await settled(platform);
        const running = new Set(left.filter(({ status }) => status === "running").map(({ id }) => id));
        await vi.waitFor(
          async () => expect((await slotOwners(platform)).filter((id) => !running.has(id))).toEqual([]),
          {
            timeout: 30_000,
            interval: 500,
          },
        );
        for (const { id, status } of left) await useOrFail(platform, id, status);
        process.stderr.write(
          `storm: ${JSON.stringify({ seed, killed, answers, left: left.map(({ status }) => status) })}\n`,
        );
        expect(created).toBeGreaterThan(0);
        const log = (await readFile(join(platform.directory, "logs/control-plane.log"), "utf8")).split("\n");
        expect(failures.map(({ request_id }) => log.filter((line) => line.includes(request_id)))).toEqual([]);
        expect(Object.values(killed).reduce((sum, count) => sum + count, 0)).toBeGreaterThan(
          STORM_MS / BETWEEN_KILLS_MS / 4,
        );
        for (const { id } of left) expect((await platform.request("DELETE", `/v1/sandboxes/${id}`)).status).toBe(204);
        expect(await leftBehind(platform)).toEqual([]);
      } catch (error) {
        throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
      } finally {
        await platform.stop();
      }
    },
    STORM_MS + SETTLE_MS + 240_000,
  );
});

interface Row {
  id: string;
  status: string;
}

/** Every sandbox that the platform knows, page by page. */
async function listAll(platform: Platform): Promise<Row[]> {
  const rows: Row[] = [];
  let cursor: string | null = "";
  do {
    const answer = await platform.request("GET", `/v1/sandboxes?limit=100${cursor === "" ? "" : `&cursor=${cursor}`}`);
    if (answer.status !== 200) throw new Error(`GET /v1/sandboxes: ${answer.status}`);
    rows.push(...(answer.body as Row[]));
    cursor = answer.headers.get("x-next-cursor");
  } while (cursor !== null);
  return rows;
}

/** The sandboxes that have a network slot. */
async function slotOwners(platform: Platform): Promise<string[]> {
  const directory = join(platform.directory, "slots");
  const owners: string[] = [];
  for (const name of await readdir(directory)) {
    const text = await readFile(join(directory, name), "utf8").catch(() => "{}"); // given back meanwhile
    const { owner } = JSON.parse(text) as { owner?: string | null };
    if (typeof owner === "string") owners.push(owner);
  }
  return owners;
}

/** What is left of sandboxes on the disk, each with what their records, rows and the log say. */
async function leftBehind(platform: Platform): Promise<object[]> {
  const ids = await readdir(`${platform.directory}/sandboxes`);
  const log = await readFile(`${platform.directory}/logs/host-agent.log`, "utf8").catch(() => "");
  return await Promise.all(
    ids.map(async (id) => ({
      id,
      files: await readdir(`${platform.directory}/sandboxes/${id}`),
      record: await readFile(`${platform.directory}/sandboxes/${id}/record.json`, "utf8").catch(() => "none"),
      row: (await platform.request("GET", `/v1/sandboxes/${id}`)).body,
      log: log.split("\n").filter((line) => line.includes(id)),
    })),
  );
}

/** The sandboxes when the platform serves again and none of them is on its way. */
async function settled(platform: Platform): Promise<Row[]> {
  const deadline = Date.now() + SETTLE_MS;
  let last = "nothing";
  while (Date.now() < deadline) {
    const rows = await listAll(platform).catch((error: unknown) => void (last = String(error)));
    if (rows !== undefined) {
      if (rows.every(({ status }) => ["running", "paused", "failed"].includes(status))) return rows;
      last = JSON.stringify(rows);
    }
    await setTimeout(500);
  }
  throw new Error(`it did not settle: ${last}`);
}

/** A running one answers, a paused one resumes and answers; a failed one says why, also when it never ran and is gone since. */
async function useOrFail(platform: Platform, id: string, status: string): Promise<void> {
  const path = `/v1/sandboxes/${id}`;
  if (status === "paused") await platform.request("POST", `${path}/resume`);
  if (status !== "failed") {
    const { body } = await platform.request("POST", `${path}/exec`, { cmd: "echo", args: ["usable"] });
    if (body?.stdout === "usable\n") return;
  }
  const { body } = await platform.request("GET", path);
  const hasFailed = body?.status === "failed" || (status === "failed" && body?.status === "gone");
  if (!hasFailed || !body.reason) throw new Error(`${id} was ${status}, and is ${JSON.stringify(body)}`);
}
