import { defineCommand } from "../../define-command.ts";

export const pauseCommand = defineCommand<{ diskOnly?: boolean }>({
  name: "pause",
  summary: "Write a sandbox's memory and disk away and stop it",
  arguments: [{ syntax: "<id>", description: "the sandbox", completes: "sandbox" }],
  options: [{ flags: "--disk-only", description: "without its memory: it boots anew when it is resumed" }],
  examples: [["wrenn sandbox pause $id", "it needs no memory until it is resumed"]],
  async run({ connect, output, signal }, [id = ""], { diskOnly = false }) {
    const sandbox = await (
      await connect()
    ).call("pauseSandbox", { path: { id }, query: { memory: !diskOnly }, signal });
    output.result(sandbox, () => `${sandbox.id} is ${sandbox.status}`);
  },
});

export const resumeCommand = defineCommand<{ cold?: boolean }>({
  name: "resume",
  summary: "Let a paused sandbox go on",
  arguments: [{ syntax: "<id>", description: "the sandbox", completes: "sandbox" }],
  options: [{ flags: "--cold", description: "boot it from its disk, without what was in memory" }],
  examples: [
    ["wrenn sandbox resume $id", "go on where it was"],
    ["wrenn sandbox resume --cold $id", "when what was in memory cannot be loaded any more"],
  ],
  async run({ connect, output, signal }, [id = ""], { cold = false }) {
    const sandbox = await (await connect()).call("resumeSandbox", { path: { id }, query: { memory: !cold }, signal });
    output.result(sandbox, () => `${sandbox.id} is ${sandbox.status}`);
  },
});
