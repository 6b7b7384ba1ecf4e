import { defineCommand } from "../../define-command.ts";
import { parseInteger, parseSeconds } from "../../terminal/units.ts";

export const forkCommand = defineCommand<{ count?: number; timeout?: number }>({
  name: "fork",
  summary: "Make sandboxes that go on from where one is now",
  description: [
    "Makes sandboxes that go on from the present state of a running or paused one, with its memory, files and processes, and prints their ids. The sandbox itself goes on as well; what one of them does from now on the others do not see.",
  ],
  arguments: [{ syntax: "<id>", description: "the sandbox", completes: "sandbox" }],
  options: [
    { flags: "-n, --count <count>", description: "how many (default: 1)", parse: parseInteger },
    {
      flags: "--timeout <time>",
      description: "end them after this time without use, such as 10m; 0: never (default: as the sandbox)",
      parse: parseSeconds,
    },
  ],
  examples: [["wrenn sandbox fork -n 4 $id", "four tries from the same point"]],
  async run({ connect, output, signal }, [id = ""], { count, timeout }) {
    const client = await connect();
    const children = await client.call("forkSandbox", {
      path: { id },
      body: { ...(count === undefined ? {} : { count }), ...(timeout === undefined ? {} : { timeout_sec: timeout }) },
      signal,
    });
    output.result(children, () => children.map((child) => child.id).join("\n"));
  },
});
