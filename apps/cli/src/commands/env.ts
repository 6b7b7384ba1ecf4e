import { defineCommand } from "../define-command.ts";

export const envCommand = defineCommand({
  name: "env",
  summary: "Print where the API is and its key, as shell variables",
  examples: [['eval "$(wrenn env)"', "let SDKs and scripts of this shell find the platform"]],
  async run({ config, output }) {
    const { findKey, findUrl } = await import("../api/connect.ts");
    const url = await findUrl(config);
    const key = await findKey(config);
    output.result({ WRENN_API_URL: url, WRENN_API_KEY: key }, () =>
      [`export WRENN_API_URL=${quote(url)}`, `export WRENN_API_KEY=${quote(key)}`].join("\n"),
    );
  },
});

/** For any POSIX shell. */
function quote(value: string): string {
  return `'${value.replaceAll("'", `'\\''`)}'`;
}
