import type { CommandContext, OptionDefinition } from "../../define-command.ts";
import { defineCommand } from "../../define-command.ts";
import { formatBytes } from "../../terminal/units.ts";

interface SnapshotOptions {
  overwrite?: boolean;
}

const OVERWRITE: OptionDefinition = {
  flags: "--overwrite",
  description: "replace the template of that name; sandboxes made from it keep what they were made from",
};
const GOES_ON =
  "The sandbox goes on. New sandboxes of the template start from the frozen state, with its processes running, and with exactly its processors, memory and disk.";

export const createTemplateCommand = defineCommand<SnapshotOptions>({
  name: "create",
  summary: "Make a template of a running or paused sandbox",
  description: [`Makes a template of a running or paused sandbox. ${GOES_ON}`],
  arguments: [
    { syntax: "<name>", description: "1 to 64 characters a-z, 0-9, dot, dash and underscore" },
    { syntax: "<sandbox>", description: "the sandbox", completes: "sandbox" },
  ],
  options: [OVERWRITE],
  examples: [["wrenn template create web $id && wrenn run -T web -- curl -s localhost", "a server that runs already"]],
  run: async (context, [name = "", id = ""], options) => await snapshot(context, id, name, options),
});

export const snapshotCommand = defineCommand<SnapshotOptions & { name?: string }>({
  name: "snapshot",
  summary: "Make a template of a sandbox and print its name",
  description: [`Makes a template of a running or paused sandbox and prints its name. ${GOES_ON}`],
  arguments: [{ syntax: "<id>", description: "the sandbox", completes: "sandbox" }],
  options: [{ flags: "--name <name>", description: "name of the template; a random one unless told" }, OVERWRITE],
  examples: [["wrenn sandbox snapshot --name before-upgrade $id", "a point to come back to"]],
  run: async (context, [id = ""], options) => await snapshot(context, id, options.name, options),
});

async function snapshot(
  { connect, output, signal }: CommandContext,
  sandboxId: string,
  name: string | undefined,
  { overwrite = false }: SnapshotOptions,
): Promise<void> {
  const client = await connect();
  const body = { sandbox_id: sandboxId, ...(name === undefined ? {} : { name }) };
  const template = await client.call("createSnapshot", { body, query: { overwrite }, signal });
  output.result(template, () => template.name);
  output.note(`${formatBytes(template.size_bytes)} on the host`);
}
