import { defineCommand } from "../../define-command.ts";
import { EXIT } from "../../exit-code.ts";
import { formatBytes } from "../../terminal/units.ts";

export const verifyCommand = defineCommand({
  name: "verify",
  summary: "Read all of a snapshot and compare it with its checksums",
  description: [
    "Reads every file of snapshots on the host and compares them with what was written when they were made; all snapshots of the team unless some are named. The exit code is 1 when one is damaged.",
  ],
  arguments: [{ syntax: "[name...]", description: "the snapshots", completes: "snapshot" }],
  examples: [
    ["wrenn snapshot verify", "are all of the team intact?"],
    ["wrenn snapshot verify before-upgrade", "is this one?"],
  ],
  async run({ connect, output, signal }, names) {
    const client = await connect();
    const all = async () =>
      (await Array.fromAsync(client.list("listTemplates", { query: { type: "snapshot" }, signal }))).map((t) => t.name);
    const checks = [];
    for (const name of names.length === 0 ? await all() : names) {
      const check = await client.call("verifySnapshot", { path: { name }, signal });
      checks.push(check);
      if (output.json) continue;
      const bytes = check.files.reduce((sum, file) => sum + file.bytes, 0);
      const damaged = check.files.filter(({ intact }) => !intact).map((file) => file.name);
      output.line(`${name}: ${check.intact ? `intact (${formatBytes(bytes)})` : `DAMAGED (${damaged.join(", ")})`}`);
    }
    if (output.json) output.line(JSON.stringify(checks));
    return checks.every(({ intact }) => intact) ? EXIT.done : EXIT.failed;
  },
});
