/**
 * The API under load, beside the bare query in the same run; then its memory over a long run.
 * `node bench/api/main.ts [rounds] [minutes]`, as root; prints tables for docs/benchmarks.md. Definitions: README.md.
 */
import { once } from "node:events";
import { cpus, loadavg } from "node:os";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { kill, start } from "@wrenn/effects";
import { embeddedDatabaseUrl } from "@wrenn/postgres";
import { startPlatform } from "../../tests/first-light/platform.ts";
import { measure, type Load, type Measured, type Operation, type Target } from "./load.ts";
import { quarters, watchMemory } from "./memory.ts";

const ROUNDS = Number(process.argv[2] ?? 5);
const LONG_RUN_MIN = Number(process.argv[3] ?? 5);
/** Sandboxes in a list, all but one paused. */
const LISTED = 10;

/** How many requests make a round, by the number of clients. */
const QUERIES: readonly Load[] = [
  { clients: 1, requests: 1_000 },
  { clients: 8, requests: 4_000 },
  { clients: 64, requests: 6_400 },
];
/** Where every request is work of VMs, fewer; the floor has its own, for it would be over too soon. */
const WORK: Readonly<Record<"create-destroy" | "exec", readonly Load[]>> = {
  "create-destroy": [
    { clients: 1, requests: 10 },
    { clients: 8, requests: 32 },
    { clients: 64, requests: 128 },
  ],
  exec: [
    { clients: 1, requests: 50 },
    { clients: 8, requests: 160 },
    { clients: 64, requests: 320 },
  ],
};

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const platform = await startPlatform({
  WRENN_SLOT_FIRST: "27000",
  WRENN_SLOT_COUNT: "128",
  WRENN_RATE_LIMIT_PER_MINUTE: "10000000",
});
const { body: me } = await platform.request("GET", "/v1/auth/me");
const bareServer = start(
  [process.execPath, join(import.meta.dirname, "bare-server.ts"), embeddedDatabaseUrl(platform.directory), me.team.id],
  { stdio: ["ignore", "pipe", "inherit"] },
);
try {
  const [address] = (await once(createInterface({ input: bareServer.stdout as NodeJS.ReadableStream }), "line")) as [
    string,
  ];
  const wrenn: Target = { sandboxesUrl: `${platform.url}/v1/sandboxes`, headers: { "x-api-key": platform.apiKey } };
  const bare: Target = { sandboxesUrl: `${address}/sandboxes`, headers: {} };
  const ids: string[] = [];
  for (let n = 0; n < LISTED; n++) {
    const { body } = await platform.request("POST", "/v1/sandboxes", { memory_mb: 128, timeout_sec: 0 });
    ids.push(body.id);
    if (n < LISTED - 1) await platform.request("POST", `/v1/sandboxes/${body.id}/pause`);
  }
  const running = ids.at(-1) ?? "";

  const rows: string[] = [];
  for (const operation of ["get", "list", "create-destroy", "exec"] as const) {
    const loads = operation === "get" || operation === "list" ? QUERIES : WORK[operation];
    for (const [index, load] of loads.entries()) {
      const floorLoad = QUERIES[index] ?? load;
      rows.push(row(operation, load.clients, await inTurns(operation, load, floorLoad)));
      process.stderr.write(`${rows.at(-1)}\n`);
    }
  }
  print(["Operation", "Clients", "a second", "its floor", "ratio", "p99", "its floor", "ratio", "lost"], rows);
  await longRun();

  async function inTurns(operation: Operation, load: Load, floorLoad: Load): Promise<[Measured, Measured][]> {
    const pairs: [Measured, Measured][] = [];
    // the first pair warms both
    for (let round = 0; round <= ROUNDS; round++) {
      const ours = () => measure(wrenn, operation, running, load);
      const floor = () => measure(bare, operation, running, floorLoad);
      const first = await (round % 2 === 0 ? ours : floor)();
      const second = await (round % 2 === 0 ? floor : ours)();
      const pair: [Measured, Measured] = round % 2 === 0 ? [first, second] : [second, first];
      if (round > 0) pairs.push(pair);
    }
    return pairs;
  }

  /** Everything at once, for minutes: what is lost, and what the memory does. */
  async function longRun(): Promise<void> {
    const stop = new AbortController();
    const watching = watchMemory(platform.url, stop.signal);
    const endAt = performance.now() + LONG_RUN_MIN * 60_000;
    let requests = 0;
    let lost = 0;
    const repeat = async (operation: Operation, load: Load): Promise<void> => {
      while (performance.now() < endAt) {
        lost += (await measure(wrenn, operation, running, load)).lost;
        requests += load.requests;
      }
    };
    await Promise.all([
      repeat("get", { clients: 4, requests: 4_000 }),
      repeat("list", { clients: 4, requests: 4_000 }),
      repeat("exec", { clients: 1, requests: 20 }),
      repeat("create-destroy", { clients: 1, requests: 10 }),
    ]);
    stop.abort();
    const samples = await watching;
    const cell = (values: readonly number[]) => values.map((value) => value.toFixed(1)).join(" ");
    print(
      ["Long run", "requests", "lost", "heap of each quarter, MiB", "resident, MiB"],
      [
        `| ${LONG_RUN_MIN} min | ${requests} | ${lost} | ${cell(quarters(samples, "heapMib"))} | ${cell(quarters(samples, "residentMib"))} |`,
      ],
    );
  }
} finally {
  if (bareServer.pid !== undefined) kill(bareServer.pid, "SIGTERM");
  await platform.stop();
}

function row(operation: Operation, clients: number, pairs: readonly [Measured, Measured][]): string {
  const of = (what: "perSecond" | "p99Ms") => ({
    ours: median(pairs.map(([ours]) => ours[what])),
    floor: median(pairs.map(([, floor]) => floor[what])),
    ratio: median(pairs.map(([ours, floor]) => ours[what] / floor[what])),
  });
  const [speed, p99] = [of("perSecond"), of("p99Ms")];
  const lost = pairs.reduce((sum, [ours, floor]) => sum + ours.lost + floor.lost, 0);
  return `| ${operation} | ${clients} | ${speed.ours.toFixed(speed.ours < 100 ? 1 : 0)} | ${speed.floor.toFixed(0)} | ${speed.ratio.toFixed(speed.ratio < 0.1 ? 4 : 2)} | ${p99.ours.toFixed(1)} ms | ${p99.floor.toFixed(1)} ms | ${p99.ratio.toFixed(1)} | ${lost} |`;
}

function print(columns: readonly string[], rows: readonly string[]): void {
  const load = loadavg().map((one) => one.toFixed(1));
  process.stdout.write(
    [
      `${cpus()[0]?.model ?? "unknown"}, ${cpus().length} CPUs, load ${load.join(" ")} at the end`,
      "",
      `| ${columns.join(" | ")} |`,
      `| ${columns.map(() => "---").join(" | ")} |`,
      ...rows,
      "",
      "",
    ].join("\n"),
  );
}
process.exit(0);
