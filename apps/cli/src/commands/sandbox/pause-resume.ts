import { connect } from "../../api/connect.ts";
import { defineCommand } from "../../define-command.ts";

export const pauseCommand = defineCommand({
  name: "pause",
  summary: "Write a sandbox's memory and disk away and stop it",
  arguments: [{ syntax: "<id>", description: "the sandbox" }],
  async run({ config, output, signal }, [id = ""]) {
    const sandbox = await (await connect(config)).pauseSandbox(id, signal);
    output.result(sandbox, () => `${sandbox.id} is ${sandbox.status}`);
  },
});

export const resumeCommand = defineCommand({
  name: "resume",
  summary: "Let a paused sandbox go on",
  arguments: [{ syntax: "<id>", description: "the sandbox" }],
  async run({ config, output, signal }, [id = ""]) {
    const sandbox = await (await connect(config)).resumeSandbox(id, signal);
    output.result(sandbox, () => `${sandbox.id} is ${sandbox.status}`);
  },
});
