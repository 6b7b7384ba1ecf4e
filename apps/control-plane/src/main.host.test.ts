import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { get } from "node:https";
import { connect, createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { run } from "@wrenn/effects";
import { freePort } from "../../../tests/free-port.ts";
import { connectDatabase } from "./database/connect.ts";
import { TestServer } from "./database/test-database.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const WITHIN = { timeout: 10_000 };

let server: TestServer;
let directory: string;
let children: ChildProcess[];

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.stop());
beforeEach(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), "control-plane-main-"));
  children = [];
});
afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
  await fs.rm(directory, { recursive: true });
});

function launch(env: Record<string, string>) {
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH: process.env["PATH"] ?? "", WRENN_DIR: directory, WRENN_READY_FD: "3", ...env },
    stdio: ["ignore", "pipe", "pipe", "pipe"],
  });
  children.push(child);
  const [, stdout, stderr, ready] = child.stdio as unknown as NodeJS.ReadableStream[];
  return {
    child,
    stdout: text(stdout as NodeJS.ReadableStream),
    stderr: text(stderr as NodeJS.ReadableStream),
    ready: text(ready as NodeJS.ReadableStream),
    exited: once(child, "exit"),
  };
}

/** Whether something takes connections at a port of this host. */
async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

describe("the control plane's process", () => {
  it("tells when it serves, logs JSON lines without secrets, and ends in order on SIGTERM", async () => {
    const port = await freePort();
    const { child, ready, stdout, stderr, exited } = launch({
      DATABASE_URL: await server.newDatabase(),
      WRENN_PORT: String(port),
      WRENN_LOG_LEVEL: "debug", // reads are told there only
    });
    expect(await ready).toBe("ready\n");
    const { api_key } = JSON.parse(await fs.readFile(join(directory, "secrets/api-key.json"), "utf8")) as {
      api_key: string;
    };
    const answer = await fetch(`http://127.0.0.1:${port}/v1/sandboxes`, {
      headers: { "x-api-key": api_key, "x-request-id": "seen-in-log" },
    });
    expect([answer.status, await answer.json()]).toEqual([200, []]);
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    const lines = (await stdout).trim().split("\n");
    const records = lines.map((line) => JSON.parse(line) as { reqId?: string });
    expect(records.some((record) => record.reqId === "seen-in-log")).toBe(true);
    expect(lines.join("\n")).not.toContain(api_key);
    expect(await stderr).toBe("");
  });

  it("says that the port is taken and what to do", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    try {
      const { stderr, exited, ready } = launch({ DATABASE_URL: await server.newDatabase(), WRENN_PORT: String(port) });
      expect(await exited).toEqual([1, null]);
      expect(await ready).toBe("");
      expect(await stderr).toBe(
        `Cannot listen on 127.0.0.1:${port}: another program does\nSee which with: ss -ltnp 'sport = :${port}'; or choose another port with WRENN_PORT\n`,
      );
    } finally {
      other.close();
    }
  });

  it.each([
    [{ WRENN_PORT: "seven" }, "WRENN_PORT"],
    [{ DATABASE_URL: "postgresql:///wrenn?host=/nonexistent&user=wrenn" }, "Cannot reach the database"],
    [{}, "Cannot reach the database"],
  ])("says what is wrong with %j", async (env, part) => {
    const { stderr, exited } = launch(env);
    expect(await exited).toEqual([1, null]);
    expect(await stderr).toContain(part);
  });

  it("answers requests that are under way before it ends, and takes no new ones", async () => {
    const port = await freePort();
    const url = await server.newDatabase();
    const { child, ready, exited } = launch({ DATABASE_URL: url, WRENN_PORT: String(port) });
    await ready;
    const { api_key } = JSON.parse(await fs.readFile(join(directory, "secrets/api-key.json"), "utf8")) as {
      api_key: string;
    };
    const list = async () =>
      (await fetch(`http://127.0.0.1:${port}/v1/sandboxes`, { headers: { "x-api-key": api_key } })).status;
    const database = await connectDatabase({ url, poolSize: 2, onIdleError: () => undefined });
    try {
      const answers = await database.transaction().execute(async (transaction) => {
        await sql`lock table sandboxes in access exclusive mode`.execute(transaction);
        const held = Array.from({ length: 5 }, list);
        await vi.waitUntil(async () => {
          const { rows } = await sql<{ n: number }>`select count(*)::int as n from pg_locks where not granted`.execute(
            database,
          );
          return (rows[0]?.n ?? 0) >= 5;
        }, WITHIN);
        child.kill("SIGTERM");
        // Not asked by a request: one that comes before the signal is handled waits for the lock, too.
        await vi.waitUntil(async () => !(await accepts(port)), WITHIN);
        return held;
      });
      expect(await Promise.all(answers)).toEqual([200, 200, 200, 200, 200]);
      expect(await exited).toEqual([0, null]);
    } finally {
      await database.destroy();
    }
  }, 30_000);
});

/** A certificate for 127.0.0.1 that signs itself. */
async function makeCertificate(name: string): Promise<{ WRENN_TLS_CERT: string; WRENN_TLS_KEY: string }> {
  const [certificate, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
  const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key];
  await run(["openssl", "req", "-x509", ...newKey, "-out", certificate, ...subject]);
  return { WRENN_TLS_CERT: certificate, WRENN_TLS_KEY: key };
}

describe("TLS", () => {
  async function shake(port: number, options: object = {}): Promise<TLSSocket> {
    const ca = await fs.readFile(join(directory, "cert.pem"));
    const socket = connectTls({ port, host: "127.0.0.1", ca, ...options });
    await once(socket, "secureConnect");
    return socket;
  }
  /** The name in the certificate that new connections get. */
  async function nameAt(port: number): Promise<string | undefined> {
    const socket = await shake(port, { rejectUnauthorized: false });
    const { CN } = socket.getPeerCertificate().subject as { CN?: string };
    socket.destroy();
    return CN;
  }

  it("is served by settings, from 1.2 on; SIGHUP takes a renewed certificate, and open connections go on", async () => {
    const settings = await makeCertificate("first");
    const port = await freePort();
    const database = await server.newDatabase();
    const { child, ready, stdout, exited } = launch({ DATABASE_URL: database, WRENN_PORT: String(port), ...settings });
    expect(await ready).toBe("ready\n");
    const request = get({ port, host: "127.0.0.1", path: "/health", ca: await fs.readFile(settings.WRENN_TLS_CERT) });
    const [answer] = (await once(request, "response")) as [import("node:http").IncomingMessage];
    expect([answer.statusCode, answer.headers["strict-transport-security"]]).toEqual([
      200,
      expect.stringContaining("max-age="),
    ]);
    answer.resume();
    await expect(
      shake(port, { maxVersion: "TLSv1.1", minVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }),
    ).rejects.toThrow(/protocol version/);
    await expect(fetch(`http://127.0.0.1:${port}/health`)).rejects.toThrow("fetch failed");

    const open = await shake(port);
    await makeCertificate("second");
    child.kill("SIGHUP");
    await vi.waitUntil(async () => (await nameAt(port)) === "second", { timeout: 10_000 });
    open.write("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(await text(open)).toMatch(/^HTTP\/1\.1 200 /);

    await fs.writeFile(settings.WRENN_TLS_CERT, "no certificate");
    child.kill("SIGHUP");
    expect(await nameAt(port)).toBe("second");
    child.kill("SIGTERM");
    expect(await exited).toEqual([0, null]);
    expect(await stdout).toContain("Cannot use the certificate");
  }, 30_000);

  it.each([
    [{ WRENN_TLS_CERT: "/nonexistent/cert.pem", WRENN_TLS_KEY: "/nonexistent/key.pem" }, "Cannot use the certificate"],
    [{ WRENN_TLS_CERT: "/etc/hosts" }, "one of WRENN_TLS_CERT and WRENN_TLS_KEY is missing"],
  ])("says what is wrong with %j", async (settings, part) => {
    const { stderr, exited } = launch({ DATABASE_URL: await server.newDatabase(), ...settings });
    expect(await exited).toEqual([1, null]);
    expect(await stderr).toContain(part);
  });
});
