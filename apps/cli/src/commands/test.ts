import { defineCommand } from "../define-command.ts";

interface TestOptions {
  full?: boolean;
  only?: string[];
  shard?: string;
}

export const testCommand = defineCommand<TestOptions>({
  name: "test",
  summary: "Check everything that the project checks",
  description: [
    "Checks formatting, lint rules, types, documents and protocols, and runs the Rust, unit, host, VM and nested tests. Goes on after a failure, and ends with one line: N passed, N failed, N skipped. Without root, what needs it is skipped.",
  ],
  arguments: [{ syntax: "[pattern]", description: "only test files whose path contains this", completes: "file" }],
  options: [
    {
      flags: "--full",
      description: "more property-test runs, the long tests, and tests with VMs on every combination of VMM and disks",
    },
    {
      flags: "--only <parts>",
      description: "only these, separated by commas: check, rust, unit, host, vm, nested, combinations",
      parse: (text) => text.split(","),
    },
    { flags: "--shard <i/n>", description: "only the i-th of n parts of the TypeScript tests" },
  ],
  examples: [
    ["wrenn test", "everything, in half an hour"],
    ["wrenn test --only check,unit", "what needs neither root nor VMs"],
    ["wrenn test apps/cli", "only tests whose path contains this"],
  ],
  json: false,
  async run({ signal }, [pattern], options) {
    const { runTests } = await import("@wrenn/tools/test");
    return await runTests({ ...options, ...(pattern === undefined ? {} : { pattern }), signal });
  },
});
