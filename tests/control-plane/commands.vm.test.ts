/** The CLI's commands about a sandbox, as people use them, on a real VM. */
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { patient } from "../config.ts";
import { REPOSITORY_WRENN, startPlatform, type Platform } from "../first-light/platform.ts";
import { leakGate } from "../leaks/gate.ts";

/** How much later than promised something may happen on a busy machine. */
const PATIENCE_MS = patient(20_000);

let platform: Platform;
let id: string;
let directory: string;

leakGate(() => ({
  stateDirectory: platform.directory,
  directories: [join(platform.directory, "sandboxes")],
  ignore: (kind, item) => kind === "process" && item.includes("postgres"),
}));

beforeAll(async () => {
  platform = await startPlatform({ WRENN_SLOT_FIRST: "23900" });
  id = (await wrenn("sandbox", "create", "--timeout", "0")).trim();
  directory = await fs.mkdtemp(join(tmpdir(), "commands-"));
});
afterAll(async () => {
  await platform?.stop();
  if (directory !== undefined) await fs.rm(directory, { recursive: true });
});

/** What a command prints that succeeds. */
async function wrenn(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await platform.wrenn(args);
  if (code !== 0) throw new Error(`wrenn ${args.join(" ")}: ${code}\n${stderr}`);
  return stdout.toString();
}
/** How a command fails. */
async function refused(...args: string[]): Promise<{ code: number | null; stderr: string }> {
  const { code, stderr } = await platform.wrenn(args);
  return { code, stderr };
}
const shell = async (line: string) => await wrenn("sandbox", "exec", "-u", "root", id, "--", "sh", "-c", line);

/** A command that goes on, and what it has printed. */
function follow(...args: string[]) {
  const child = platform.start(args);
  const printed = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (printed.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (printed.stderr += chunk.toString()));
  const closed = once(child, "close") as Promise<[number | null]>;
  const until = async (part: string) =>
    await vi.waitUntil(() => printed.stdout.includes(part), { timeout: PATIENCE_MS });
  return { child, printed, closed, until };
}

describe("sandbox cp", () => {
  it("takes directories both ways, with modes and links, to where cp would put them", async () => {
    const tree = join(directory, "tree");
    await fs.mkdir(join(tree, "sub"), { recursive: true });
    await fs.writeFile(join(tree, "sub/run"), "#!/bin/sh\n", { mode: 0o755 });
    await fs.writeFile(join(tree, "ünï cödé"), "x".repeat(1_000_000));
    await fs.symlink("sub/run", join(tree, "link"));
    await wrenn("sandbox", "cp", tree, `${id}:/home/user/new`);
    await wrenn("sandbox", "cp", tree, `${id}:/home/user`);
    await wrenn("sandbox", "cp", `${tree}/.`, `${id}:/tmp`);
    for (const place of ["/home/user/new", "/home/user/tree", "/tmp"])
      expect([
        place,
        await shell(`cd ${place} && stat -c '%a %U' sub/run && readlink link && wc -c < 'ünï cödé'`),
      ]).toEqual([place, "755 user\nsub/run\n1000000\n"]);

    await wrenn("sandbox", "cp", `${id}:/home/user/tree`, join(directory, "back"));
    await wrenn("sandbox", "cp", `${id}:/home/user/tree/`, directory);
    await wrenn("sandbox", "cp", `${id}:/home/user/tree/.`, join(directory, "back"));
    for (const place of ["back", "tree"]) {
      const at = join(directory, place);
      expect((await fs.readdir(at, { recursive: true })).toSorted()).toEqual(["link", "sub", "sub/run", "ünï cödé"]);
      expect([(await fs.stat(join(at, "sub/run"))).mode & 0o777, await fs.readlink(join(at, "link"))]).toEqual([
        0o755,
        "sub/run",
      ]);
    }
    const { stdout } = await platform.wrenn(["sandbox", "cp", `${id}:/home/user/tree`, "-"]);
    expect(stdout.subarray(257, 262).toString()).toBe("ustar");
  });

  it("trusts no guest: what leads out of the directory is left out and named, and nothing is set-user-id", async () => {
    await shell(
      "mkdir -p /tmp/evil && cd /tmp/evil && ln -s /etc abs && ln -s ../../.. up && mkfifo pipe && cp /bin/true su && chmod 4755 su && echo ok > fine",
    );
    const target = join(directory, "evil");
    const { code, stderr } = await refused("sandbox", "cp", `${id}:/tmp/evil`, target);
    expect([code, stderr]).toEqual([1, expect.stringContaining("3 of its entries were left out")]);
    for (const name of ["abs", "up", "pipe"]) expect(stderr).toMatch(new RegExp(`left out \\S*${name}: `));
    expect((await fs.readdir(target)).toSorted()).toEqual(["fine", "su"]);
    expect((await fs.stat(join(target, "su"))).mode & 0o7777).toBe(0o755);
  });

  it("copies files into directories that are there, and says what is wrong", async () => {
    const file = join(directory, "file");
    await fs.writeFile(file, "content");
    await wrenn("sandbox", "cp", file, `${id}:/tmp`);
    expect(await shell("cat /tmp/file")).toBe("content");
    await wrenn("sandbox", "cp", `${id}:/tmp/file`, join(directory, "tree"));
    expect(await fs.readFile(join(directory, "tree/file"), "utf8")).toBe("content");
    expect(await refused("sandbox", "cp", `${id}:/nowhere`, directory)).toMatchObject({ code: 5 });
    expect(await refused("sandbox", "cp", join(directory, "none"), `${id}:/tmp`)).toMatchObject({ code: 5 });
    expect(await refused("sandbox", "cp", `${id}:/tmp/evil`, file)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("that is a file"),
    });
    expect(await refused("sandbox", "cp", file, `${id.slice(0, -5)}00000:/tmp`)).toMatchObject({
      code: 5,
      stderr: expect.stringContaining("Cannot find sandbox"),
    });
    expect((await fs.readdir(directory)).filter((name) => name.includes(".part"))).toEqual([]);
  });
});

describe("sandbox exec --detach and connect --pid", () => {
  it("leave a command running, go on with what it prints, and take input", async () => {
    const script = "for i in $(seq 1 1000); do echo line $i; sleep 0.05; done";
    const pid = (await wrenn("sandbox", "exec", "--detach", id, "--", "sh", "-c", script)).trim();
    expect(pid).toMatch(/^\d+$/);
    const first = follow("sandbox", "connect", id, "--pid", pid);
    await first.until("line 20\n");
    expect(first.printed.stdout).toMatch(/^line 1\n/);
    first.child.kill("SIGINT");
    expect([await first.closed, first.printed.stderr]).toEqual([
      [130, null],
      expect.stringContaining(`left ${pid}; it runs on`),
    ]);
    const second = follow("sandbox", "connect", id, "--pid", pid);
    await second.until("line 60\n");
    expect(await wrenn("sandbox", "ps", id)).toContain(pid);
    await wrenn("sandbox", "exec", "-u", "root", id, "--", "kill", pid);
    expect(await second.closed).toEqual([143, null]);
    expect(await refused("sandbox", "connect", id, "--pid", "4000000")).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/^error: Cannot .*4000000/),
    });
  });

  it("hold a terminal that one can leave and come back to", async () => {
    const detach = ["sandbox", "exec", "--detach", "--tty", "-e", "PS1=ready ", id, "--", "bash", "--norc"];
    const pid = (await wrenn(...detach)).trim();
    // script(1) gives the CLI a terminal
    const attach = `stty cols 101 rows 37; exec ${REPOSITORY_WRENN} sandbox connect ${id} --pid ${pid} --tty`;
    const child = spawn("script", ["-qefc", attach, "/dev/null"], { env: platform.env, stdio: "pipe" });
    let printed = "";
    child.stdout.on("data", (chunk: Buffer) => (printed += chunk.toString()));
    const closed = once(child, "close") as Promise<[number | null]>;
    await vi.waitUntil(() => printed.includes("ready "), { timeout: PATIENCE_MS });
    child.stdin.write("stty size; exit 9\r");
    expect(await closed).toEqual([9, null]);
    expect(printed).toContain("37 101");
  });
});

describe("sandbox exec --tty", () => {
  it("gives the command a terminal of this one's size, and needs one here", async () => {
    const line = `stty cols 90 rows 20; exec ${REPOSITORY_WRENN} sandbox exec -t ${id} -- sh -c 'stty size; test -t 0 && exit 7'`;
    const child = spawn("script", ["-qefc", line, "/dev/null"], { env: platform.env, stdio: "pipe" });
    let printed = "";
    child.stdout.on("data", (chunk: Buffer) => (printed += chunk.toString()));
    expect([await once(child, "close"), printed]).toEqual([[7, null], expect.stringMatching(/^20 90\r+\n$/)]);
    expect(await refused("sandbox", "exec", "-t", id, "--", "sh")).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("this is not run in one"),
    });
  });
});

describe("sandbox logs and events", () => {
  it("follow a sandbox until it stops, and tell what happened to it", async () => {
    const other = (await wrenn("sandbox", "create", "--timeout", "0")).trim();
    const logs = follow("sandbox", "logs", "-f", other);
    const events = follow("events", "-f", "--sandbox", other);
    const say = "printf 'said \\033[31mhere\\n' > /dev/console";
    await wrenn("sandbox", "exec", "-u", "root", other, "--", "sh", "-c", say);
    await logs.until("said [31mhere"); // no byte that controls a terminal
    expect(await wrenn("sandbox", "logs", other)).toContain("said [31mhere");
    await wrenn("sandbox", "pause", other);
    const used = JSON.parse(await wrenn("team", "quota", "--json")) as { snapshot_bytes: { used: number } };
    expect(used.snapshot_bytes.used).toBeGreaterThan(1_000_000);
    await wrenn("sandbox", "rm", other);
    expect(await logs.closed).toEqual([0, null]);
    await events.until("sandbox.gone");
    events.child.kill("SIGINT");
    expect(await events.closed).toEqual([130, null]);
    const types = [...events.printed.stdout.matchAll(/sandbox\.(\w+)/g)].map(([, type]) => type);
    expect(types).toEqual(["creating", "running", "pausing", "paused", "destroying", "gone"]);
    expect(await refused("sandbox", "logs", other)).toMatchObject({ code: 5 });
  });
});
