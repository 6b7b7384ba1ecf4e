/** The tour of README.md: every command as it stands there, in one shell, on a platform of its own. */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { leakGate } from "../leaks/gate.ts";
import { preparePlatform } from "./platform.ts";
import { ShellSession } from "./shell-session.ts";

const REPOSITORY = join(import.meta.dirname, "../..");
const TOUR = "## A tour of five minutes\n";
/** What is typed where a command gives a terminal. */
const TYPED = "echo at $((6*7)); exit\n";

let platform: Awaited<ReturnType<typeof preparePlatform>>;

leakGate();

beforeAll(async () => {
  platform = await preparePlatform({ WRENN_SLOT_FIRST: "26200" });
});
afterAll(async () => {
  await platform.wrenn(["down", "--destroy"]);
  await rm(platform.directory, { recursive: true, force: true });
});

/** The lines of the section's shell blocks; `# prints X` says what one prints. */
async function tour(): Promise<{ command: string; prints: string | undefined }[]> {
  const section = (await readFile(join(REPOSITORY, "README.md"), "utf8")).split(TOUR)[1]?.split("\n## ")[0] ?? "";
  const blocks = [...section.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, block = ""]) => block);
  return blocks
    .flatMap((block) => block.trim().split("\n"))
    .map((command) => ({ command, prints: / # prints (.*)$/.exec(command)?.[1] }));
}

it("does what it says", { timeout: 400_000 }, async () => {
  await using shell = new ShellSession(REPOSITORY, platform.env);
  const lines = await tour();
  expect(lines.length).toBeGreaterThan(20);
  const told = new Map<string, string>();
  for (const { command, prints } of lines) {
    const inTerminal = command.includes("--tty") ? `script -qec '${command}' /dev/null` : undefined;
    const { code, stdout, stderr } = await shell.run(inTerminal ?? command, inTerminal === undefined ? "" : TYPED);
    if (code !== 0) throw new Error(`${command}: ${code}\n${stdout}\n${stderr}`);
    expect({ command, stdout: stdout.trim() }).toEqual({ command, stdout: prints ?? stdout.trim() });
    told.set(command.split("#")[0]?.trim() ?? "", stdout);
  }
  const said = (part: string) => [...told].find(([command]) => command.includes(part))?.[1];
  expect(said("status")).toMatch(/The platform is ready[^]*control-plane/);
  expect(said("doctor")).toContain("This machine can run Wrenn.");
  expect(said("--tty")).toContain("at 42");
  expect(said("examples/agent")).toMatch(/The test fails: AssertionError[^]*All tests pass[^]*It keeps [^]*def primes/);
  expect(JSON.parse(said("curl") ?? "")).toMatchObject({ status: "running" });
});
