/** Generates the protocol's code again and compares it with what is committed. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runChild } from "../test/child.ts";
import type { StepContext } from "../test/step.ts";

const DEADLINE_MS = 60_000;

/** @returns what is wrong, one line each */
export async function checkGeneratedProtocol({
  root,
  env,
  signal,
}: Pick<StepContext, "root" | "env" | "signal">): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), "wrenn-protocol-"));
  try {
    const cwd = join(root, "packages/protocol");
    const { ok, how, output } = await runChild({
      argv: ["buf", "generate", "--output", directory],
      cwd,
      env,
      deadlineMs: DEADLINE_MS,
      signal,
    });
    if (!ok) return [`buf generate: ${how}: ${output.trim()}`];
    const [committed, generated] = [await readTree(join(cwd, "src/gen")), await readTree(join(directory, "src/gen"))];
    return [...new Set([...committed.keys(), ...generated.keys()])]
      .filter((path) => committed.get(path) !== generated.get(path))
      .map(
        (path) =>
          `packages/protocol/src/gen/${path} is not what the protos generate; run: npm run generate -w @wrenn/protocol`,
      );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function readTree(directory: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(directory.length + 1), await readFile(path, "utf8"));
  }
  return files;
}
