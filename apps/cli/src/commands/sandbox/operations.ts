import type { OperationStage } from "@wrenn/api-schema";
import { defineCommand } from "../../define-command.ts";
import { formatTable } from "../../terminal/table.ts";

export const operationsCommand = defineCommand({
  name: "operations",
  summary: "Show what was done to a sandbox, and how long each part took",
  description: ["Shows every create, pause, resume, snapshot and fork of a sandbox, with its stages."],
  arguments: [{ syntax: "<id>", description: "the sandbox", completes: "sandbox" }],
  examples: [["wrenn sandbox operations $id", "what took how long"]],
  async run({ connect, output, signal }, [id = ""]) {
    const operations = await (await connect()).call("listSandboxOperations", { path: { id }, signal });
    output.result(operations, () => {
      if (operations.length === 0) return "Nothing is known of it any more";
      const rows = operations.map(({ started_at, operation, duration_ms, stages, error }) => [
        started_at,
        operation,
        duration_ms.toFixed(1),
        [...stages.map(stageText), ...(error === undefined ? [] : [`failed: ${error.message}`])].join(", "),
      ]);
      return formatTable(["STARTED", "OPERATION", "MS", "STAGES (MS, BYTES)"], rows);
    });
  },
});

function stageText({ name, duration_ms, bytes }: OperationStage): string {
  return `${name} ${duration_ms.toFixed(1)}${bytes === 0 ? "" : ` (${bytes})`}`;
}
