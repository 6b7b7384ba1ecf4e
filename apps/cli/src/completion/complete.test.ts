import { describe, expect, it } from "vitest";
import { COMMANDS } from "../commands/index.ts";
import { complete, type Lookup } from "./complete.ts";

const lookup: Lookup = async (kind) => {
  const words: Partial<Record<typeof kind, string[]>> = {
    sandbox: ["sb1", "sb2"],
    template: ["base", "web"],
    key: ["key_1"],
  };
  return (words[kind] ?? []).map((word) => ({ word, summary: kind }));
};

async function after(line: string): Promise<string[]> {
  const { candidates, otherwise } = await complete(line.split(" "), COMMANDS, lookup);
  return candidates.length > 0 ? candidates.map(({ word }) => word) : [`(${otherwise})`];
}

describe("complete()", () => {
  it.each([
    ["st", ["status"]],
    ["--v", ["--version"]],
    ["sandbox re", ["resume"]],
    ["sandbox --h", ["--help"]],
    ["help sand", ["sandbox"]],
    ["help sandbox cr", ["create"]],
    ["sandbox help cr", ["create"]],
    ["sandbox get ", ["sb1", "sb2"]],
    ["sandbox get sb1 ", ["--json", "--help"]],
    ["sandbox rm sb1 ", ["sb1", "sb2"]],
    ["sandbox ls --st", ["--status"]],
    ["sandbox exec ", ["sb1", "sb2"]],
    ["sandbox exec --cwd / -e A=b sb", ["sb1", "sb2"]],
    ["sandbox exec sb1 ", ["(commands)"]],
    ["sandbox exec sb1 -- ec", ["(commands)"]],
    ["sandbox exec sb1 --", ["(commands)"]],
    ["run -T ", ["base", "web"]],
    ["run --template w", ["web"]],
    ["run --template=w", ["--template=web"]],
    ["run --me", ["--memory"]],
    ["run ls --me", ["(commands)"]],
    ["sandbox create --on-timeout ", ["destroy", "pause"]],
    ["sandbox create --timeout ", ["(nothing)"]],
    ["completion z", ["zsh"]],
    ["key rm ", ["key_1"]],
    ["team role ada@example.org ad", ["admin"]],
    ["sandbox cp ", ["(files)"]],
    ["testbed --disk ", ["(files)"]],
    ["nonsense ", ["(nothing)"]],
    ["sandbox nonsense ", ["(nothing)"]],
  ])("%s", async (line, offered) => {
    expect(await after(line)).toEqual(offered);
  });

  it("offers every command and every verb", async () => {
    expect(await after("")).toEqual([...COMMANDS.map(({ name }) => name), "help"]);
  });

  it("asks the platform for nothing but what is completed", async () => {
    const asked: string[] = [];
    await complete(["sandbox", "get", "--j"], COMMANDS, async (kind) => (asked.push(kind), []));
    expect(asked).toEqual([]);
  });
});
