/**
 * Every command of the command line that has --json, on a real platform: standard output is one JSON
 * document, or one a line for what happens one after the other, and standard error is empty. Then what a
 * shell completes there.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { COMMANDS } from "../../apps/cli/src/commands/index.ts";
import { isGroup } from "../../apps/cli/src/define-command.ts";
import { finished, preparePlatform, type Finished } from "../first-light/platform.ts";
import { leakGate } from "../leaks/gate.ts";
import { wrennHere } from "./in-process.ts";
import { completeInShell, type Shell } from "./shell-completion.ts";

const WITH_JSON = COMMANDS.flatMap((entry) =>
  isGroup(entry)
    ? entry.commands.filter(({ json }) => json !== false).map(({ name }) => `${entry.name} ${name}`)
    : entry.json === false
      ? []
      : [entry.name],
);
/** They print a line for each thing that happens. */
const LINES = new Set(["run", "sandbox exec", "sandbox connect", "logs", "events"]);
/** They start and stop processes, read standard input, or hand signals on. */
const PROCESSES = new Set(["up", "down", "run", "sandbox exec", "sandbox connect", "login"]);
/** What the launcher brings in before the command begins. */
const LAUNCHER = /^wrenn: (?:building|built|installing|installed) .*\n/gm;
const PASSWORD = "correct horse battery staple\n";

let platform: Awaited<ReturnType<typeof preparePlatform>>;
const walked = new Set<string>();

leakGate(() => ({
  stateDirectory: platform.directory,
  // The database's own workers come and go; `down`, itself a test here, turns forwarding off again.
  ignore: (kind, item) =>
    (kind === "process" && item.includes("postgres")) ||
    (kind === "network setting" && item.endsWith("/forwarding = 0")),
}));

let id: string;

beforeAll(async () => {
  platform = await preparePlatform({ WRENN_SLOT_FIRST: "26400" });
  platform.env["XDG_CONFIG_HOME"] = join(platform.directory, "config");
  await walk("up", ["--detach"]);
  ({ id } = await walk("sandbox create", ["--timeout", "1h", "--metadata", "of=walk"]));
});
afterAll(async () => {
  await platform.wrenn(["down", "--destroy"]);
  await rm(platform.directory, { recursive: true, force: true });
});

interface Options {
  input?: string;
  code?: number;
}

async function wrenn(command: string, words: string[], input?: string): Promise<Finished> {
  const argv = [...command.split(" "), "--json", ...words];
  if (!PROCESSES.has(command)) return await wrennHere(argv, platform.env);
  return await platform.wrenn(argv, input === undefined ? {} : { input });
}

/** Runs `wrenn COMMAND --json WORDS`. @returns what it printed, parsed */
async function walk(command: string, words: string[] = [], { code = 0, input }: Options = {}): Promise<any> {
  walked.add(command);
  const told = await wrenn(command, words, input);
  const stdout = told.stdout.toString();
  const stderr = told.stderr.replaceAll(LAUNCHER, "");
  expect({ command, code: told.code, stderr: code === 0 ? stderr : "" }).toEqual({ command, code, stderr: "" });
  if (LINES.has(command))
    return stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as unknown);
  expect(stdout.trim().split("\n")).toHaveLength(1);
  return JSON.parse(stdout) as unknown;
}

/** The error that a command prints with --json. */
async function refused(command: string, ...words: string[]): Promise<{ exit: number | null; code: string }> {
  const { code: exit, stdout, stderr } = await wrenn(command, words);
  expect(stdout.toString()).toBe("");
  return { exit, code: (JSON.parse(stderr) as { error: { code: string } }).error.code };
}

describe("the command line", { timeout: 300_000 }, () => {
  it("shows and uses the platform", async () => {
    expect(await walk("status")).toMatchObject({ state: "ready", answers: true });
    expect(await walk("doctor")).toMatchObject({ ok: true });
    expect(await walk("env")).toMatchObject({ WRENN_API_KEY: expect.stringMatching(/^wrn_/) as string });
    const frames = await walk("run", ["--", "sh", "-c", "echo out; exit 7"], { code: 7 });
    expect(frames.at(-1)).toMatchObject({ type: "exit", exit_code: 7 });
    expect(await walk("sandbox list")).toMatchObject([{ id }]);
    expect(await walk("sandbox get", [id])).toMatchObject({ id, metadata: { of: "walk" } });
    expect((await walk("sandbox exec", [id, "--", "echo", "hi"])).at(-1)).toMatchObject({ exit_code: 0 });
    expect(await walk("sandbox ps", [id])).toEqual([]);
    const [{ pid }] = await walk("sandbox exec", ["--detach", id, "--", "sh", "-c", "sleep 5; echo late; exit 3"]);
    const late = await walk("sandbox connect", ["--pid", String(pid), id], { code: 3 });
    expect(late).toContainEqual(expect.objectContaining({ type: "exit", exit_code: 3 }));
    expect(await walk("sandbox cp", [join(import.meta.dirname, "commands.vm.test.ts"), `${id}:x`])).toMatchObject({
      to: `${id}:x`,
    });
    const [{ id: child }] = await walk("sandbox fork", [id]);
    expect(await walk("sandbox pause", [child])).toMatchObject({ status: "paused" });
    expect(await walk("sandbox resume", [child])).toMatchObject({ status: "running" });
    expect(await walk("sandbox rm", [child])).toEqual({ destroyed: [child] });
    expect(await walk("sandbox snapshot", ["--name", "walked", id])).toMatchObject({ name: "walked" });
    expect(await walk("template create", ["walked-again", id])).toMatchObject({ type: "snapshot" });
    expect(await walk("template list")).toHaveLength(4);
    expect(await walk("snapshot list")).toHaveLength(2);
    expect(await walk("snapshot verify", ["walked"])).toMatchObject([{ name: "walked", intact: true }]);
    expect(await walk("snapshot rm", ["walked-again"])).toEqual({ deleted: ["walked-again"] });
    expect((await walk("events", ["--sandbox", id]))[0]).toMatchObject({ type: "sandbox.creating", sandbox_id: id });
    expect((await walk("logs", ["-n", "3"])).length).toBeLessThanOrEqual(9);
    expect(await walk("sandbox logs", [id])).toMatchObject({ id });
    expect((await walk("sandbox operations", [id]))[0]).toMatchObject({ operation: "create" });
    const bundle = join(platform.directory, "bundle.tar.gz");
    expect(await walk("debug bundle", ["-o", bundle, id])).toMatchObject({ path: bundle });
  });

  it("is completed by every shell, with what the platform has", async () => {
    const complete = (shell: Shell, line: string) => completeInShell(shell, `wrenn ${line}`, platform.env);
    for (const shell of ["bash", "zsh", "fish"] as const) {
      expect([shell, await complete(shell, "sandbox get sb")]).toEqual([shell, `wrenn sandbox get ${id} `]);
      expect([shell, await complete(shell, "run --template=wal")]).toEqual([shell, "wrenn run --template=walked "]);
      expect([shell, await complete(shell, "sandbox create --on")]).toEqual([
        shell,
        "wrenn sandbox create --on-timeout ",
      ]);
    }
    expect(await complete("bash", "sta")).toBe("wrenn status ");
    expect(await complete("zsh", "sandbox create --on-timeout p")).toBe("wrenn sandbox create --on-timeout pause ");
    expect(await complete("fish", "run -T wal")).toBe("wrenn run -T walked ");
  });

  it("manages people and keys", async () => {
    const { id: key } = await walk("key create", ["ci", "--expires", "1h"]);
    expect(await walk("key list")).toContainEqual(expect.objectContaining({ id: key, name: "ci" }));
    expect(await walk("key rm", [key])).toEqual({ deleted: [key] });
    const [{ id: team }] = await walk("team list");
    expect(await walk("team members")).toMatchObject([{ role: "owner" }]);
    const { token } = await walk("team invite", ["ada@example.org"]);
    expect(await walk("login", ["--sign-up", "ada@example.org"], { input: PASSWORD })).toMatchObject({
      email: "ada@example.org",
    });
    expect(await walk("team join", [token])).toMatchObject({ id: team });
    const { id: birds } = await walk("team create", ["Birds"]);
    expect(await walk("team switch", [birds])).toEqual({ team_id: birds });
    expect(await walk("team rename", ["Wrens"])).toMatchObject({ name: "Wrens" });
    expect(await walk("team quota")).toMatchObject({ running_sandboxes: { used: 0 } });
    expect(await walk("team audit")).toContainEqual(expect.objectContaining({ action: "team.rename" }));
    expect(await walk("team switch", [team])).toEqual({ team_id: team });
    expect(await walk("team rm", [birds])).toEqual({ deleted: birds });
    expect(await walk("logout")).toEqual({ logged_out: true });
    expect(await walk("team role", ["ada@example.org", "admin"])).toMatchObject({ role: "admin" });
    expect(await walk("team remove", ["ada@example.org"])).toEqual({ removed: "ada@example.org" });
  });

  it("says with its exit code and as JSON what cannot be done", async () => {
    const nobody = "sb00000000000000000000";
    expect(await refused("sandbox get", nobody)).toEqual({ exit: 5, code: "not_found" });
    expect(await refused("sandbox exec", nobody, "true")).toEqual({ exit: 125, code: "not_found" });
    expect(await refused("sandbox cp", "/no/such/file", `${id}:x`)).toEqual({ exit: 5, code: "not_found" });
    expect(await refused("run", "-T", "none", "true")).toEqual({ exit: 125, code: "not_found" });
    expect(await refused("sandbox create", "--memory", "1M")).toEqual({ exit: 2, code: "invalid_request" });
    expect(await refused("snapshot verify", "none")).toEqual({ exit: 5, code: "not_found" });
    const failed = await wrenn("sandbox rm", [nobody]);
    expect([failed.code, JSON.parse(failed.stdout.toString())]).toEqual([5, { destroyed: [] }]);
    expect(JSON.parse(failed.stderr)).toMatchObject({ error: { code: "not_found" } });
  });

  it.each(["events", "logs"])("follows %s until Ctrl-C", async (command) => {
    const child = platform.start([command, "--json", "--follow"]);
    child.stdout.once("data", () => child.kill("SIGINT"));
    const { code, stdout } = await finished(child);
    expect(code).toBe(130);
    for (const line of stdout.toString().trim().split("\n")) expect(() => JSON.parse(line) as unknown).not.toThrow();
  });

  it("ends the platform, and has shown every command", async () => {
    expect(await walk("template rm", ["walked"])).toEqual({ deleted: ["walked"] });
    expect(await walk("down", ["--destroy"])).toMatchObject({ stopped: true, destroyed: 1 });
    expect(await refused("sandbox list")).toEqual({ exit: 4, code: "unavailable" });
    expect([...walked].toSorted()).toEqual(WITH_JSON.toSorted());
  });
});
