/** Every command of the command line, from its declaration: help, JSON, exit codes. Nothing is started. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { COMMANDS } from "./commands/index.ts";
import { isGroup, type CommandDefinition } from "./define-command.ts";
import { EXIT } from "./exit-code.ts";
import { main } from "./program.ts";

interface Named {
  path: string[];
  command: CommandDefinition;
}
const ALL: readonly Named[] = COMMANDS.flatMap((entry) =>
  isGroup(entry)
    ? entry.commands.map((command) => ({ path: [entry.name, command.name], command }))
    : [{ path: [entry.name], command: entry }],
);
const GROUPS = COMMANDS.filter(isGroup);
const nameOf = ({ path }: Named): string => path.join(" ");
/** They start things on this machine, whatever API they are told of, or wait for somebody to type. */
const ELSEWHERE = new Set(["up", "login"]);
const MOST_COLUMNS = 104;

let directory: string;
let stdout = "";
let stderr = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-program-"));
});
afterAll(async () => {
  await rm(directory, { recursive: true });
});
beforeEach(() => {
  vi.stubEnv("WRENN_DIR", join(directory, "state"));
  vi.stubEnv("WRENN_API_URL", "http://127.0.0.1:9"); // discard: nothing listens
  vi.stubEnv("WRENN_API_KEY", "wrn_none");
  vi.stubEnv("HOME", directory);
  [stdout, stderr] = ["", ""];
  vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    stdout += String(chunk);
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((chunk) => {
    stderr += String(chunk);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) process.removeAllListeners(signal);
});

describe.each(ALL.map((one) => [nameOf(one), one] as const))("wrenn %s", (name, { path, command }) => {
  it("has help with usage, options and examples that fits a terminal", async () => {
    expect(await main([...path, "--help"])).toBe(EXIT.done);
    expect(stderr).toBe("");
    expect(stdout).toMatch(new RegExp(`^Usage: wrenn ${name}(?:\\|\\w+)? `));
    for (const part of ["\nOptions:\n", "\nExamples:\n", "-h, --help"]) expect(stdout).toContain(part);
    expect(stdout.includes("--json")).toBe(command.json !== false);
    for (const [example] of command.examples) expect(example).toMatch(/(?:^|\W)wrenn /);
    const description = stdout.split("\nExamples:\n")[0]?.split("\n") ?? [];
    expect(description.filter((line) => line.length > MOST_COLUMNS)).toEqual([]);
    const byOption = stdout;
    stdout = "";
    expect(await main(["help", ...path])).toBe(EXIT.done);
    expect(stdout).toBe(byOption);
  });

  it("tells of a wrong command line, with --json as JSON, and where to look", async () => {
    const code = command.failureExitCode ?? EXIT.usage;
    expect(await main([...path, "--no-such-option"])).toBe(code);
    expect(stderr).toMatch(/^error: Cannot read the command line: unknown option '--no-such-option'\nhint: .+\n$/);
    if (command.json === false) return;
    stderr = "";
    expect(await main([...path, "--json", "--no-such-option"])).toBe(code);
    expect(JSON.parse(stderr)).toMatchObject({
      error: { code: "invalid_request", hint: expect.any(String) as string },
    });
    expect(stdout).toBe("");
  });
});

describe.each(
  ALL.filter((one) => !ELSEWHERE.has(nameOf(one)) && one.command.json !== false).map(
    (one) => [nameOf(one), one] as const,
  ),
)("wrenn %s --json, without a platform", (_name, { path, command }) => {
  it("prints JSON, and a documented exit code", async () => {
    const words = (command.arguments ?? []).flatMap(({ syntax, choices }) =>
      syntax.startsWith("[") ? [] : [choices?.[0] ?? wordFor(syntax)],
    );
    const code = await main([...path, "--json", ...words]);
    expect(documentedExitCodes()).toContain(code);
    for (const line of `${stdout}${stderr}`.split("\n").filter(Boolean)) expect(() => JSON.parse(line)).not.toThrow();
    const isFailure = stderr !== "";
    expect(isFailure).toBe(code !== EXIT.done && stdout === "");
  });
});

/** A value that can be read. */
function wordFor(syntax: string): string {
  if (syntax === "<from>") return "sb00000000000000000000:/x";
  return "word";
}

function documentedExitCodes(): number[] {
  const text = readFileSync(new URL("../../../docs/reference/cli.md", import.meta.url), "utf8");
  const section = text.split("## Exit codes")[1]?.split("\n## ")[0] ?? "";
  return [...section.matchAll(/^\| ([\d, ]+) \|/gm)].flatMap(([, codes = ""]) => codes.split(",").map(Number));
}

describe("the command line", () => {
  it("documents every exit code", () => {
    expect(documentedExitCodes()).toEqual(expect.arrayContaining(Object.values(EXIT)));
  });

  it.each(GROUPS.map((group) => [group.name, group] as const))(
    "shows the verbs of %s, and examples",
    async (name, group) => {
      expect(await main([name])).toBe(EXIT.done);
      for (const { name: verb } of group.commands) expect(stdout).toMatch(new RegExp(`^  ${verb} `, "m"));
      for (const [example] of group.examples) expect(stdout).toContain(example);
    },
  );

  it("suggests what was meant", async () => {
    expect(await main(["sandbx"])).toBe(EXIT.usage);
    expect(stderr).toContain("hint: Did you mean sandbox?");
    stderr = "";
    expect(await main(["sandbox", "creat"])).toBe(EXIT.usage);
    expect(stderr).toContain("hint: Did you mean create?");
    stderr = "";
    expect(await main(["sandbox", "exec", "--tiemout", "3", "x", "y"])).toBe(EXIT.runFailed);
    expect(stderr).toContain("hint: Did you mean --timeout?");
  });

  it.each([
    [["exec", "sb1", "ls"], "wrenn sandbox exec"],
    [["ps"], "wrenn sandbox ps"],
    [["start"], "wrenn sandbox resume, wrenn up"],
    [["delete"], "wrenn sandbox rm, wrenn template rm, wrenn snapshot rm, wrenn team rm, wrenn key rm"],
    [["sandbox", "destroy", "sb1"], "wrenn sandbox rm"],
    [["help", "exec"], "wrenn sandbox exec"],
    [["help", "sandbox", "delete"], "wrenn sandbox rm"],
  ])("names the command behind what others call it: %j", async (argv, meant) => {
    expect(await main(argv)).toBe(EXIT.usage);
    expect(stderr).toContain(`hint: Did you mean ${meant}?`);
  });

  it("tells of help for what does not exist", async () => {
    expect(await main(["help", "nonsense"])).toBe(EXIT.usage);
    expect(stderr).toContain("unknown command 'nonsense'\nhint: See wrenn --help");
  });
});
