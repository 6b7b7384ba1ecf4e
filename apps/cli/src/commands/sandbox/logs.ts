import { WrennError } from "@wrenn/errors";
import type { CliConfig } from "../../config.ts";
import { defineCommand } from "../../define-command.ts";
import { writeAll } from "../../exec/write-all.ts";

export const logsCommand = defineCommand<{ raw?: boolean; follow?: boolean }>({
  name: "logs",
  summary: "Show the console of a sandbox's VM",
  description: [
    "Shows what the guest's kernel and init printed, the newest 256 KiB. As root on the sandbox's host it needs no platform that runs.",
  ],
  arguments: [{ syntax: "<id>", description: "the sandbox", completes: "sandbox" }],
  options: [
    { flags: "-f, --follow", description: "go on until the sandbox stops" },
    { flags: "--raw", description: "the bytes as they are; a terminal may act on them" },
  ],
  examples: [
    ["wrenn sandbox logs $id", "why did it not boot?"],
    ["wrenn sandbox logs -f $id", "what it prints from now on"],
  ],
  async run({ config, connect, output, signal }, [id = ""], { follow = false, raw = false }) {
    const { printable } = await import("../../debug/sandbox-directory.ts");
    const kept = follow ? undefined : await readHere(config, id);
    const console = kept === undefined ? await (await connect()).readLogs(id, follow, signal) : [kept];
    const decoder = new TextDecoder();
    let text = "";
    for await (const bytes of console) {
      const shown = raw ? bytes : Buffer.from(printable(decoder.decode(bytes, { stream: true })));
      if (output.json && !raw) text += shown.toString();
      else if (!(await writeAll(process.stdout, shown))) return;
    }
    if (output.json && !raw) output.result({ id, console: text }, () => "");
  },
});

/** The console that this machine keeps; undefined when it is another's, or not for this user. */
async function readHere(config: CliConfig, id: string): Promise<Uint8Array | undefined> {
  const { readConsole, readStoredSandbox } = await import("../../debug/sandbox-directory.ts");
  try {
    return await readConsole((await readStoredSandbox(config, id)).directory);
  } catch (error) {
    const { code } = WrennError.from(error);
    if (code === "not_found" || code === "needs_root") return undefined;
    throw error;
  }
}
