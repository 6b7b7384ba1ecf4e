import { resolve } from "node:path";
import { defineCommand } from "../../define-command.ts";

export const bundleCommand = defineCommand<{ output?: string }>({
  name: "bundle",
  summary: "Collect what a maintainer needs to understand a sandbox",
  description: [
    "Writes a tar file with the sandbox's record, operations, console, exit record, network rules and log lines, and with versions and what doctor finds. Tokens, keys and the values of environment variables are left out; read it all the same before you give it away: the console is what the guest printed. Run it as root on the sandbox's host; the platform need not run.",
  ],
  arguments: [{ syntax: "<id>", description: "the sandbox", completes: "sandbox" }],
  options: [
    { flags: "-o, --output <file>", description: "where to; wrenn-<id>.tar.gz unless told", completes: "file" },
  ],
  examples: [["wrenn debug bundle $id", "writes wrenn-<id>.tar.gz"]],
  async run({ config, output, signal }, [id = ""], options) {
    const { writeBundle } = await import("../../debug/bundle.ts");
    const path = resolve(options.output ?? `wrenn-${id}.tar.gz`);
    const files = await writeBundle(config, id, path, signal);
    output.result({ path, files }, () => path);
  },
});
