import { defineCommand } from "../../define-command.ts";

export const getCommand = defineCommand({
  name: "get",
  summary: "Describe a sandbox",
  arguments: [{ syntax: "<id>", description: "the sandbox", completes: "sandbox" }],
  examples: [
    ["wrenn sandbox get $id", "all that is known of it"],
    ["wrenn sandbox get --json $id | jq -r .status", "one of its fields, in a script"],
  ],
  async run({ connect, output, signal }, [id = ""]) {
    const sandbox = await (await connect()).call("getSandbox", { path: { id }, signal });
    output.result(sandbox, () => {
      const width = Math.max(...Object.keys(sandbox).map((name) => name.length));
      return Object.entries(sandbox)
        .map(
          ([name, value]) =>
            `${name.padEnd(width)}  ${typeof value === "object" ? JSON.stringify(value) : String(value)}`,
        )
        .join("\n");
    });
  },
});
