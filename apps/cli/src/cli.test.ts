/** The command line as a user meets it: real processes, no platform. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

vi.setConfig({ testTimeout: 60_000 }); // each starts several processes, beside all other tests
const MAIN = join(import.meta.dirname, "main.ts");

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-cli-"));
});
afterAll(async () => {
  await rm(directory, { recursive: true });
});

async function wrenn(args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { PATH: process.env["PATH"], WRENN_DIR: join(directory, "state"), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output.stderr += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, ...output };
}

describe("help", () => {
  it("is shown without arguments, by --help and by help, on standard output", async () => {
    const [bare, option, word] = await Promise.all([wrenn([]), wrenn(["--help"]), wrenn(["help"])]);
    expect(bare).toEqual({ code: 0, stdout: option?.stdout, stderr: "" });
    expect(word?.stdout).toBe(option?.stdout);
    for (const name of ["run", "up", "down", "status", "logs", "doctor", "env", "sandbox", "completion", "test"]) {
      expect(option?.stdout).toMatch(new RegExp(`^  ${name} `, "m"));
    }
  });

  it("of a command shows its options and examples", async () => {
    const [byOption, byWord] = await Promise.all([
      wrenn(["sandbox", "create", "--help"]),
      wrenn(["sandbox", "help", "create"]),
    ]);
    expect(byOption?.stdout).toMatch(/Usage: wrenn sandbox create[^]*--memory <size>[^]*Examples:/);
    expect(byWord?.stdout).toBe(byOption?.stdout);
  });

  it("of run ends before the command's own words", async () => {
    const { stderr } = await wrenn(["run", "ls", "--help"], {
      WRENN_API_URL: "http://127.0.0.1:1",
      WRENN_API_KEY: "k",
    });
    expect(stderr).toMatch(/Cannot reach the platform/);
  });
});

describe("a wrong command line", () => {
  it.each([
    { args: ["rnu"], code: 2, message: "unknown command 'rnu'", hint: "Did you mean run?" },
    { args: ["sandbox", "crate"], code: 2, message: "unknown command 'crate'", hint: "Did you mean create?" },
    { args: ["status", "--jsn"], code: 2, message: "unknown option '--jsn'", hint: "Did you mean --json?" },
    {
      args: ["run", "--memry", "1G", "ls"],
      code: 125,
      message: "unknown option '--memry'",
      hint: "Did you mean --memory?",
    },
    { args: ["run"], code: 125, message: "missing required argument 'command'", hint: "See wrenn run --help" },
    { args: ["run", "--memory", "much", "ls"], code: 125, message: 'Cannot read "much" as a size', hint: "512M or 2G" },
    {
      args: ["run", "--env", "1=2", "ls"],
      code: 125,
      message: 'Cannot read "1=2" as an environment variable',
      hint: "NAME=value",
    },
    { args: ["completion", "tcsh"], code: 2, message: "value 'tcsh' is invalid", hint: "" },
    {
      args: ["sandbox", "cp", "a", "b"],
      code: 2,
      message: "one of the two paths has to be in a sandbox",
      hint: "<id>:<path>",
    },
    { args: ["test", "--only", "everything"], code: 2, message: 'Cannot test "everything"', hint: "check, rust, unit" },
  ])("$args", async ({ args, code, message, hint }) => {
    const result = await wrenn(args);
    expect(result).toMatchObject({ code, stdout: "" });
    expect(result.stderr).toContain(message);
    expect(result.stderr).toMatch(/^error: .*\nhint: /);
    expect(result.stderr.split("\nhint: ")[1]).toContain(hint);
  });

  it("is told as JSON with --json, and --json of the command itself does not count", async () => {
    const [ours, theirs] = await Promise.all([
      wrenn(["status", "--json", "--x"]),
      wrenn(["run", "--x", "--", "ls", "--json"]),
    ]);
    expect(JSON.parse(ours?.stderr ?? "")).toMatchObject({ error: { code: "invalid_request" } });
    expect(theirs?.stderr).toMatch(/^error: /);
  });
});

describe("without a platform", () => {
  it("status says so, for people and for machines, with exit code 4", async () => {
    const env = { WRENN_PORT: "1" };
    const [text, json] = await Promise.all([wrenn(["status"], env), wrenn(["status", "--json"], env)]);
    expect(text).toMatchObject({
      code: 4,
      stdout: "The platform does not run; start it with: wrenn up --detach\n",
      stderr: "",
    });
    expect(json?.code).toBe(4);
    expect(JSON.parse(json?.stdout ?? "")).toMatchObject({ state: "stopped", answers: false, processes: [] });
  });

  it("env and sandbox say that there is no key, with exit code 4", async () => {
    for (const args of [["env"], ["sandbox", "list"]]) {
      const { code, stderr } = await wrenn(args);
      expect({ code, stderr }).toEqual({
        code: 4,
        stderr: expect.stringMatching(/never run here\nhint: Start it/) as string,
      });
    }
  });

  it("down is harmless, down --destroy cannot destroy", async () => {
    expect(await wrenn(["down"])).toMatchObject({ code: 0, stdout: "The platform does not run\n" });
    expect((await wrenn(["down", "--destroy"])).code).toBe(4);
    expect((await wrenn(["down", "--on-exit", "destroy"])).code).toBe(4);
    expect(await wrenn(["down", "--on-exit", "forget"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("keep or destroy") as string,
    });
  });

  it("logs names what there is", async () => {
    expect(await wrenn(["logs"])).toMatchObject({ code: 0, stdout: "" });
    expect((await wrenn(["logs", "kernel"])).code).toBe(5);
  });

  it("a state directory that cannot be one is told", async () => {
    const file = join(directory, "file");
    await writeFile(file, "");
    const { code, stderr } = await wrenn(["up", "--detach"], { WRENN_DIR: join(file, "state") });
    expect({ code, stderr }).toEqual({ code: 3, stderr: expect.stringMatching(/^error: Cannot .*\nhint: /) as string });
  });

  it("a wrong environment variable is named", async () => {
    const { code, stderr } = await wrenn(["status"], { WRENN_PORT: "seven" });
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining("WRENN_PORT") as string });
  });
});

describe("with another server in its place", () => {
  it("an answer that is no error of ours is shown as it is", async () => {
    const server = createServer((_request, response) => response.writeHead(418).end("teapot"));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, stderr } = await wrenn(["sandbox", "list"], { WRENN_API_URL: url, WRENN_API_KEY: "k" });
    server.close();
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining("the server answered 418 teapot") as string,
    });
  });
});

describe("env", () => {
  it("prints what a shell can read, whatever the values are", async () => {
    const { stdout } = await wrenn(["env"], { WRENN_API_URL: "http://h/'x", WRENN_API_KEY: "k $(y)" });
    const shell = spawn("sh", ["-c", `${stdout}\nprintf '%s|%s' "$WRENN_API_URL" "$WRENN_API_KEY"`]);
    const [printed] = (await once(shell.stdout, "data")) as [Buffer];
    expect(printed.toString()).toBe("http://h/'x|k $(y)");
  });
});
