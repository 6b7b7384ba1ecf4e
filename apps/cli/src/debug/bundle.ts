/** Collects what a maintainer needs to understand one sandbox, without its secrets, as a tar file. */
import { chmod, mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { remove, run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { CliConfig } from "../config.ts";
import { examine } from "../doctor/checks.ts";
import { layoutOf } from "../platform/layout.ts";
import { listLogs, readLast } from "../platform/log-reader.ts";
import { VERSION } from "../version.ts";
import { printable, readConsole, readStoredSandbox, type StoredSandbox } from "./sandbox-directory.ts";
import { collectSecrets, scrub, withoutSecrets } from "./scrub.ts";

/** Newest records of the platform's logs that are looked through. */
const LOG_RECORDS = 5_000;

/**
 * Writes the bundle of sandbox `id` to `path`.
 * @returns the names of the files in it
 */
export async function writeBundle(
  config: CliConfig,
  id: string,
  path: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const stored = await readStoredSandbox(config, id);
  const secrets = await collectSecrets(layoutOf(config.stateDirectory).secrets, stored.record);
  const files = await collect(config, id, stored, signal);
  const temporary = await mkdtemp(join(tmpdir(), "wrenn-bundle-"));
  try {
    const root = basename(path).replace(/\.tar\.gz$/, "");
    await mkdir(join(temporary, root));
    for (const [name, text] of Object.entries(files))
      await writeFile(join(temporary, root, name), scrub(text, secrets));
    await run(["tar", "-czf", path, "-C", temporary, root], { signal });
    await chmod(path, 0o600);
  } catch (error) {
    throw WrennError.from(error);
  } finally {
    await remove(temporary, "bundle.scratch");
  }
  return Object.keys(files);
}

async function collect(
  config: CliConfig,
  id: string,
  { directory, record }: StoredSandbox,
  signal: AbortSignal,
): Promise<Record<string, string>> {
  const file = async (name: string): Promise<string> =>
    await readFile(join(directory, name), "utf8").catch((error: unknown) => `${String(error)}\n`);
  const output = async (...argv: [string, ...string[]]): Promise<string> =>
    await run(argv, { signal, timeoutMs: 10_000 }).then(
      ({ stdout }) => `${stdout}\n`,
      (error: unknown) => `${String(error)}\n`,
    );
  const json = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;
  const { logs } = layoutOf(config.stateDirectory);
  const records = await readLast(logs, await listLogs(logs), LOG_RECORDS);
  const namespace = `wrenn-${record.slotIndex ?? 0}`;
  return {
    "record.json": json(withoutSecrets(record)),
    "operations.jsonl": await file("operations.jsonl"),
    "shim.json": await file("shim.json"),
    "exit.json": await file("exit.json"),
    "console.txt": printable(await readConsole(directory)),
    "log.jsonl": records
      .map(({ name, record: line }) => JSON.stringify({ process: name, ...line }))
      .filter((line) => line.includes(id))
      .join("\n"),
    "nft-host.txt": await output("nft", "list", "ruleset"),
    "nft-sandbox.txt": await output("ip", "netns", "exec", namespace, "nft", "list", "ruleset"),
    "addresses-sandbox.txt": await output("ip", "-n", namespace, "address"),
    "versions.json": json({
      wrenn: VERSION,
      node: process.version,
      kernel: release(),
      qemu: (await output(config.WRENN_QEMU, "--version")).split("\n")[0],
    }),
    "doctor.json": json(await examine(config, signal)),
    "memory.txt": await output("cat", "/proc/meminfo", "/proc/loadavg"),
    "disk.txt": await output("df", "-m", config.stateDirectory),
  };
}
