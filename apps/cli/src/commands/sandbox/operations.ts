import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { defineCommand } from "../../define-command.ts";
import { formatTable } from "../../terminal/table.ts";

interface Operation {
  operation: string;
  incarnation: number;
  startedAt: string;
  durationMs: number;
  stages: { name: string; durationMs: number; bytes: number }[];
  error?: { code: string; message: string };
}

export const operationsCommand = defineCommand({
  name: "operations",
  summary: "Show what was done to a sandbox, and how long each part took",
  description: [
    "Shows every create, pause, resume, snapshot and fork of a sandbox, with its stages. Run it as root on the sandbox's host; the platform need not run.",
  ],
  arguments: [{ syntax: "<id>", description: "the sandbox", completes: "sandbox" }],
  examples: [["wrenn sandbox operations $id", "what took how long"]],
  async run({ config, output }, [id = ""]) {
    const { readStoredSandbox } = await import("../../debug/sandbox-directory.ts");
    const { directory } = await readStoredSandbox(config, id);
    const text = await readFile(join(directory, "operations.jsonl"), "utf8").catch(() => "");
    const operations = text.split("\n").flatMap((line) => parse(line));
    output.result(operations, () =>
      formatTable(
        ["STARTED", "OPERATION", "MS", "STAGES (MS, BYTES)"],
        operations.map(({ startedAt, operation, durationMs, stages, error }) => [
          startedAt,
          operation,
          durationMs.toFixed(1),
          [...stages.map(stageText), ...(error === undefined ? [] : [`failed: ${error.message}`])].join(", "),
        ]),
      ),
    );
  },
});

function stageText({ name, durationMs, bytes }: Operation["stages"][number]): string {
  return `${name} ${durationMs.toFixed(1)}${bytes === 0 ? "" : ` (${bytes})`}`;
}

/** Nothing for a line that a crash cut short. */
function parse(line: string): Operation[] {
  try {
    return [JSON.parse(line) as Operation];
  } catch {
    return [];
  }
}
