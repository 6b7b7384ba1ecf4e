/** The published E2B SDK's commands, terminals and files against the real guest agent. */
import { CommandExitError, FileNotFoundError, FileType, FilesystemEventType, Sandbox, TimeoutError } from "e2b";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startAgent, type Agent } from "./agent.ts";

let agent: Agent;
let sandbox: Sandbox;

beforeAll(async () => {
  agent = await startAgent();
  sandbox = await Sandbox.connect("sandbox", { debug: true, sandboxUrl: agent.url });
});

afterAll(() => agent.stop());

describe("commands", () => {
  it("runs a command to its end", async () => {
    const result = await sandbox.commands.run("echo out; echo err >&2", { envs: { A: "b" } });
    expect(result).toMatchObject({ exitCode: 0, stdout: "out\n", stderr: "err\n" });
  });

  it("throws for a command that fails", async () => {
    const failure = await sandbox.commands.run("echo before; exit 3").catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(CommandExitError);
    expect(failure).toMatchObject({ exitCode: 3, stdout: "before\n" });
  });

  it("uses user, directory and environment", async () => {
    const result = await sandbox.commands.run("id -un; pwd; echo $FOO", {
      user: "root",
      cwd: "/usr",
      envs: { FOO: "bar" },
    });
    expect(result.stdout).toBe("root\n/usr\nbar\n");
    await expect(sandbox.commands.run("true", { cwd: "/missing" })).rejects.toThrow("cwd '/missing' does not exist");
    await expect(sandbox.commands.run("true", { user: "nobody-here" })).rejects.toThrow(
      "invalid username: 'nobody-here'",
    );
  });

  it("keeps characters whole in large output", async () => {
    const result = await sandbox.commands.run(`for i in $(seq 20000); do printf 'aé€😀'; done`);
    expect(result.stdout).toBe("aé€😀".repeat(20_000));
  });

  it("writes to a background command, connects to it and kills it", async () => {
    let seen = "";
    const command = await sandbox.commands.run("cat", {
      background: true,
      stdin: true,
      onStdout: (data) => void (seen += data),
    });
    const listed = await sandbox.commands.list();
    expect(listed.find((process) => process.pid === command.pid)).toMatchObject({
      cmd: "/bin/bash",
      args: ["-l", "-c", "cat"],
    });
    await sandbox.commands.sendStdin(command.pid, "hello");
    await expect.poll(() => seen).toBe("hello");

    const second = await sandbox.commands.connect(command.pid);
    await sandbox.commands.closeStdin(command.pid);
    expect(await command.wait()).toMatchObject({ exitCode: 0, stdout: "hello" });
    expect(await second.wait()).toMatchObject({ exitCode: 0 });

    const sleeper = await sandbox.commands.run("sleep 100", { background: true });
    expect(await sandbox.commands.kill(sleeper.pid)).toBe(true);
    await expect(sleeper.wait()).rejects.toThrow("signal: killed");
    expect(await sandbox.commands.kill(sleeper.pid)).toBe(false);
  });

  it("limits the time of a command", async () => {
    await expect(sandbox.commands.run("sleep 100", { timeoutMs: 500 })).rejects.toBeInstanceOf(TimeoutError);
    // The stream tells first, then the process is killed.
    await expect.poll(() => sandbox.commands.list()).toEqual([]);
  });

  it("lets a client leave", async () => {
    const command = await sandbox.commands.run("sleep 0.5; touch left", { background: true, timeoutMs: 0 });
    await command.disconnect();
    await expect.poll(() => sandbox.files.exists("left"), { timeout: 5000 }).toBe(true);
  });
});

describe("terminals", () => {
  it("starts a shell, types, resizes and ends", async () => {
    let screen = "";
    const decoder = new TextDecoder();
    const terminal = await sandbox.pty.create({
      cols: 91,
      rows: 33,
      onData: (data) => void (screen += decoder.decode(data, { stream: true })),
    });
    const type = (text: string) => sandbox.pty.sendInput(terminal.pid, new TextEncoder().encode(text));
    await type("stty size; echo $TERM\n");
    await expect.poll(() => screen, { timeout: 5000 }).toMatch(/33 91\s+xterm-256color/);
    await sandbox.pty.resize(terminal.pid, { cols: 120, rows: 40 });
    await type("stty size\n");
    await expect.poll(() => screen, { timeout: 5000 }).toContain("40 120");
    await type("exit 5\n");
    await expect(terminal.wait()).rejects.toMatchObject({ exitCode: 5 });
    expect(await sandbox.pty.kill(terminal.pid)).toBe(false);
  });
});

describe("files", () => {
  it("writes and reads text, bytes, blobs and streams", async () => {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, index) => (index * 7) % 251);
    for (const [name, data] of [
      ["a.txt", "grüße"],
      ["dir/a b é.bin", bytes.buffer],
      ["blob", new Blob([bytes])],
      ["stream", new Blob([bytes]).stream()],
    ] as const) {
      const written = await sandbox.files.write(name, data);
      expect(written).toMatchObject({ path: `/home/user/${name}`, name: name.split("/").at(-1), type: FileType.FILE });
    }
    expect(await sandbox.files.read("a.txt")).toBe("grüße");
    expect(await sandbox.files.read("dir/a b é.bin", { format: "bytes" })).toEqual(bytes);
    expect(new Uint8Array(await (await sandbox.files.read("blob", { format: "blob" })).arrayBuffer())).toEqual(bytes);
    const stream = await sandbox.files.read("stream", { format: "stream" });
    expect(new Uint8Array(await new Response(stream).arrayBuffer())).toEqual(bytes);
  });

  it("writes several files, compressed and raw", async () => {
    const written = await sandbox.files.write([
      { path: "/tmp/many/1.txt", data: "one" },
      { path: 'quo"te.txt', data: "two" },
    ]);
    expect(written.map((file) => file.path)).toEqual(["/tmp/many/1.txt", '/home/user/quo"te.txt']);
    await sandbox.files.write("zipped", "z".repeat(100_000), { gzip: true });
    expect(await sandbox.files.read("zipped", { gzip: true })).toBe("z".repeat(100_000));
    await sandbox.files.write("raw", "r", { useOctetStream: true });
    expect(await sandbox.files.read("raw")).toBe("r");
    await sandbox.files.write("empty", "");
    expect(await sandbox.files.read("empty")).toBe("");
  });

  it("keeps metadata", async () => {
    await sandbox.files.write("meta", "1", { metadata: { Author: "me" } });
    expect((await sandbox.files.getInfo("meta")).metadata).toEqual({ author: "me" });
  });

  it("describes, lists, moves, makes and removes", async () => {
    expect(await sandbox.files.makeDir("tree/sub")).toBe(true);
    expect(await sandbox.files.makeDir("tree/sub")).toBe(false);
    await sandbox.files.write("tree/file", "12345");
    expect(await sandbox.files.getInfo("tree/file")).toMatchObject({
      size: 5,
      owner: "user",
      permissions: "-rw-r--r--",
      mode: 0o644,
    });
    const listed = await sandbox.files.list("tree", { depth: 2 });
    expect(listed.map((entry) => [entry.name, entry.type])).toEqual([
      ["file", FileType.FILE],
      ["sub", FileType.DIR],
    ]);
    expect(await sandbox.files.rename("tree/file", "tree/new/place")).toMatchObject({
      path: "/home/user/tree/new/place",
    });
    expect(await sandbox.files.exists("tree/file")).toBe(false);
    await sandbox.files.remove("tree");
    await sandbox.files.remove("tree");
    await expect(sandbox.files.read("tree/new/place")).rejects.toBeInstanceOf(FileNotFoundError);
    await expect(sandbox.files.list("tree")).rejects.toBeInstanceOf(FileNotFoundError);
  });

  it("watches a directory", async () => {
    await sandbox.files.makeDir("watched");
    const events: string[] = [];
    const handle = await sandbox.files.watchDir("watched", (event) => void events.push(`${event.type} ${event.name}`), {
      recursive: true,
    });
    await sandbox.files.write("watched/nested/file", "x");
    await expect
      .poll(() => events.filter((event) => !event.endsWith("nested")))
      .toEqual([
        `${FilesystemEventType.CREATE} nested/file`,
        `${FilesystemEventType.CHMOD} nested/file`,
        `${FilesystemEventType.WRITE} nested/file`,
      ]);
    await handle.stop();
  });

  it("follows the path rules of a user", async () => {
    await sandbox.files.write("~/mine", "root's", { user: "root" });
    expect(await sandbox.files.read("/root/mine", { user: "root" })).toBe("root's");
    await expect(sandbox.files.read("~other/mine")).rejects.toThrow("Cannot resolve");
  });
});
