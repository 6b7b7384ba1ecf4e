import { defineCommand } from "../../define-command.ts";

export const pauseCommand = defineCommand({
  name: "pause",
  summary: "Write a sandbox's memory and disk away and stop it",
  arguments: [{ syntax: "<id>", description: "the sandbox" }],
  async run({ connect, output, signal }, [id = ""]) {
    const sandbox = await (await connect()).pauseSandbox(id, signal);
    output.result(sandbox, () => `${sandbox.id} is ${sandbox.status}`);
  },
});

export const resumeCommand = defineCommand({
  name: "resume",
  summary: "Let a paused sandbox go on",
  arguments: [{ syntax: "<id>", description: "the sandbox" }],
  async run({ connect, output, signal }, [id = ""]) {
    const sandbox = await (await connect()).resumeSandbox(id, signal);
    output.result(sandbox, () => `${sandbox.id} is ${sandbox.status}`);
  },
});
