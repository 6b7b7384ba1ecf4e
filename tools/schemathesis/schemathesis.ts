/**
 * Schemathesis, the schema-driven fuzzer, in a Python environment of its own below node_modules/.cache.
 * It is fetched from the Python package index when it is first needed, as the npm packages are.
 */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { remove, run, waitForLock } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

const VERSION = "4.32.5";
const CACHE = join(import.meta.dirname, "../../node_modules/.cache");
const INSTALL_TIMEOUT_MS = 300_000;
/** Its own is ten seconds, for which a busy machine may stand still. */
const REQUEST_TIMEOUT_SEC = 120;
/** Answers that contradict the document, whatever was asked. */
const CHECKS = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_headers_conformance",
  "response_schema_conformance",
] as const;

export interface FuzzOptions {
  /** Of a server that serves /openapi.json. */
  url: string;
  apiKey: string;
  /** Requests per operation and phase. */
  maxExamples: number;
  seed: number;
  /** All three unless told; `coverage` asks for every boundary of every field. */
  phases?: readonly ("examples" | "coverage" | "fuzzing")[];
  /** Operations to ask, by their ids; all but `without` unless told. */
  only?: readonly string[];
  without?: readonly string[];
  /** A schemathesis configuration, such as values of parameters. */
  config?: string;
  signal: AbortSignal;
}

/** @throws WrennError with what Schemathesis found, as a request to repeat each. */
export async function fuzz(options: FuzzOptions): Promise<string> {
  const { url, apiKey, maxExamples, seed, only = [], without = [], config, signal } = options;
  const { phases = ["examples", "coverage", "fuzzing"] } = options;
  const home = await ensureInstalled(signal);
  const configFile = join(CACHE, `schemathesis-${process.pid}.toml`);
  await writeFile(configFile, config ?? "");
  try {
    const { stdout } = await run(
      [
        join(home, "bin/schemathesis"),
        `--config-file=${configFile}`,
        "--no-color",
        "run",
        `${url}/openapi.json`,
        "--header",
        `X-API-Key: ${apiKey}`,
        `--checks=${CHECKS.join(",")}`,
        `--phases=${phases.join(",")}`,
        `--max-examples=${maxExamples}`,
        `--seed=${seed}`,
        `--request-timeout=${REQUEST_TIMEOUT_SEC}`,
        "--continue-on-failure",
        "--suppress-health-check=all",
        "--generation-database=none",
        "--warnings=off",
        "--output-sanitize=false",
        ...only.flatMap((id) => ["--include-operation-id", id]),
        ...[...new Set(without)].flatMap((id) => ["--exclude-operation-id", id]),
      ],
      { timeoutMs: 0, signal, cwd: CACHE }, // as long as its caller lets it
    );
    return stdout;
  } catch (error) {
    const output = WrennError.from(error).cause as { stdout?: string; stderr?: string } | undefined;
    const report = `${output?.stdout ?? ""}${output?.stderr ?? ""}`;
    if (report === "" || signal.aborted) throw error;
    // eslint-disable-next-line preserve-caught-error -- the cause is this report once more, three times
    throw new Error(`Schemathesis found answers that the document does not describe:\n${report}`);
  } finally {
    await remove(configFile);
  }
}

async function ensureInstalled(signal: AbortSignal): Promise<string> {
  const home = join(CACHE, `schemathesis-${VERSION}`);
  const stamp = join(home, "installed");
  await mkdir(CACHE, { recursive: true });
  await using _lock = await waitForLock(`${home}.lock`, signal);
  if (existsSync(stamp)) return home;
  await remove(home);
  await run(["/usr/bin/python3", "-m", "venv", home], { timeoutMs: INSTALL_TIMEOUT_MS, signal });
  await run([join(home, "bin/pip"), "install", "--quiet", "--no-input", `schemathesis==${VERSION}`], {
    timeoutMs: INSTALL_TIMEOUT_MS,
    signal,
  });
  await writeFile(stamp, "");
  return home;
}
