/** What an operator can see of a host: metrics, operations, consoles, and a bundle for a maintainer. */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { REPOSITORY_WRENN } from "../first-light/platform.ts";
import { leakGate } from "../leaks/gate.ts";
import { AgentHost } from "./agent-process.ts";

const execute = promisify(execFile);
let host: AgentHost;
leakGate();

beforeEach(async () => {
  host = await AgentHost.make();
  await host.start();
});
afterEach(async () => {
  await host.remove();
});

const wrenn = async (...args: string[]): Promise<string> =>
  (await execute(REPOSITORY_WRENN, args, { env: { ...process.env, WRENN_DIR: host.directory } })).stdout;

/** Value of one series, by its name and some of its labels. */
function series(text: string, name: string, labels: Record<string, string> = {}): number {
  const found = text
    .split("\n")
    .find(
      (line) =>
        line.split(/[{ ]/)[0] === name &&
        Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`)),
    );
  return Number(found?.split(" ").at(-1));
}

describe("GET /metrics", () => {
  it("counts what a sandbox uses, and drops its series with it", async () => {
    const sandbox = await host.create();
    const labels = { sandbox: sandbox.id };
    const before = await host.text("/metrics");
    await host.shell(
      sandbox,
      "head -c 20000000 /dev/urandom > /root/f; sync; end=$((SECONDS+2)); while [ $SECONDS -lt $end ]; do :; done",
    );
    const after = await host.text("/metrics");
    const grown = (name: string, more: Record<string, string> = {}): number =>
      series(after, name, { ...labels, ...more }) - series(before, name, { ...labels, ...more });
    expect(grown("wrenn_sandbox_cpu_seconds_total")).toBeGreaterThan(0.5);
    expect(grown("wrenn_sandbox_disk_bytes")).toBeGreaterThan(15_000_000);
    expect(grown("wrenn_sandbox_page_faults_total", { kind: "minor" })).toBeGreaterThan(100);
    expect(grown("wrenn_sandbox_network_bytes_total", { direction: "sent" })).toBeGreaterThan(100);
    expect(series(after, "wrenn_sandbox_memory_bytes", { ...labels, kind: "private" })).toBeGreaterThan(1_000_000);
    expect(series(after, "wrenn_sandbox_responsive", labels)).toBe(1);
    expect(series(after, "wrenn_sandbox_connections", labels)).toBeGreaterThan(0);
    expect(series(after, "wrenn_host_sandboxes", { state: "running" })).toBe(1);
    expect(series(after, "wrenn_operation_duration_seconds_count", { operation: "create" })).toBe(1);
    await host.client.destroySandbox(sandbox.id);
    expect(await host.text("/metrics")).not.toContain(sandbox.id);
  });
});

describe("what is kept of a sandbox", () => {
  it("shows its operations with their stages, and its console, also without an agent", async () => {
    const sandbox = await host.create();
    await host.shell(sandbox, "printf 'said \\033[31mthis\\n' > /dev/ttyS0; sleep 0.2");
    await host.client.pauseSandbox({ id: sandbox.id, incarnation: 1n });
    expect(await host.text(`/sandboxes/${sandbox.id}/console`)).toContain("said \u001b[31mthis");
    const operations = await host.client.listOperations(sandbox.id, {});
    expect(operations).toMatchObject([{ operation: "create" }, { operation: "pause", incarnation: 1 }]);
    expect(operations[1]?.stages.map(({ name }) => name)).toContain("capture");
    for (const { durationMs, stages } of operations)
      for (const stage of stages) expect(stage.startMs + stage.durationMs).toBeLessThanOrEqual(durationMs + 1);
    await host.end();
    expect(await wrenn("sandbox", "logs", sandbox.id)).toContain("said [31mthis");
    await expect(wrenn("sandbox", "logs", "../secrets")).rejects.toMatchObject({
      stderr: expect.stringContaining("no sandbox id"),
    });
    await host.start();
    await host.client.destroySandbox(sandbox.id);
  });

  it("goes into a bundle without its secrets", async () => {
    const secrets = {
      accessToken: "accesstoken-5f1d9a",
      envs: { API_SECRET: "envvalue-77aa61", QUOTED: 'env"quoted"-88' },
    };
    const sandbox = await host.create(secrets);
    await host.shell(sandbox, "echo leaked $API_SECRET envvalue-77aa61 accesstoken-5f1d9a > /dev/ttyS0; sleep 0.2");
    const directory = await mkdtemp("/tmp/wrenn-bundle-test-");
    try {
      const path = join(directory, "bundle.tar.gz");
      await wrenn("debug", "bundle", sandbox.id, "--output", path);
      await execute("tar", ["-xzf", path, "-C", directory]);
      const root = join(directory, "bundle");
      const files = new Map<string, string>();
      for (const name of await readdir(root)) files.set(name, await readFile(join(root, name), "utf8"));
      const all = [...files.values()].join("\n");
      const token = await readFile(join(host.directory, "secrets/agent-token"), "utf8");
      for (const secret of [secrets.accessToken, ...Object.values(secrets.envs), token.trim()])
        expect(all).not.toContain(secret);
      expect(JSON.parse(files.get("record.json") ?? "")).toMatchObject({
        id: sandbox.id,
        envNames: ["API_SECRET", "QUOTED"],
      });
      expect(files.get("console.txt")).toContain("leaked [removed]");
      expect(files.get("operations.jsonl")).toContain('"create"');
      expect(files.get("nft-sandbox.txt")).toContain("table ip wrenn");
      expect(JSON.parse(files.get("versions.json") ?? "")).toMatchObject({ qemu: expect.stringMatching(/QEMU/) });
      expect(JSON.parse(files.get("doctor.json") ?? "")).toContainEqual(expect.objectContaining({ name: "kvm" }));
    } finally {
      await rm(directory, { recursive: true });
      await host.client.destroySandbox(sandbox.id);
    }
  });
});

describe("an orderly stop", () => {
  it("drains requests, and destroys or keeps sandboxes as chosen", async () => {
    const kept = await host.create();
    const creating = host.create();
    await new Promise((resolve) => setTimeout(resolve, 100));
    await host.end();
    const { id } = await creating; // it was under way and was answered
    await host.start({ WRENN_ON_EXIT: "destroy" });
    expect((await host.client.listSandboxes()).map((sandbox) => sandbox.id).toSorted()).toEqual(
      [kept.id, id].toSorted(),
    );
    await writeFile(join(host.directory, "run/on-exit"), "keep"); // wrenn down --on-exit keep
    await host.end();
    await host.start({ WRENN_ON_EXIT: "destroy" });
    expect(await host.client.listSandboxes()).toHaveLength(2);
    await host.end();
    await host.start();
    expect(await host.client.listSandboxes()).toEqual([]);
  });
});
