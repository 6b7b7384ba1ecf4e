/** Copies that break off, at either end. tests/cli copies to and from real sandboxes. */
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ApiClient } from "../api/client.ts";
import { download, upload } from "./copy.ts";

const ID = "sb00000000000000000000";
const signal = new AbortController().signal;

let directory: string;
let server: Server | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-copy-"));
});
afterEach(async () => {
  server?.closeAllConnections();
  server?.close();
  await rm(directory, { recursive: true });
});

/** A platform whose sandbox has no files, but for what `files` answers. */
async function platform(files: RequestListener): Promise<ApiClient> {
  server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "", "http://x");
    if (pathname.endsWith("/files") || pathname.endsWith("/tar")) return files(request, response);
    response.setHeader("content-type", "application/json");
    if (pathname.endsWith(ID)) return void response.end("{}");
    response.writeHead(404).end(JSON.stringify({ error: { code: "not_found", message: "Cannot find it" } }));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return new ApiClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, credentials: {} });
}

const inSandbox = { id: ID, path: "/file" };
const takeAll: RequestListener = (request, response) => {
  request.resume().once("end", () => response.setHeader("content-type", "application/json").end("{}"));
};

describe("upload()", () => {
  it("says what of this machine cannot be read, not that the platform is away", async () => {
    const client = await platform(takeAll);
    for (const [from, code] of [
      [join(directory, "missing"), "ENOENT"],
      ["/proc/self/mem", "EIO"],
    ] as const)
      await expect(upload(client, from, inSandbox, signal)).rejects.toMatchObject({
        code: "not_found",
        message: `Cannot read ${from}: ${code}`,
      });
  });

  it("says what the platform says", async () => {
    const client = await platform((_request, response) => {
      response.writeHead(507, { "content-type": "application/json" });
      response.end(JSON.stringify({ error: { code: "storage_full", message: "Cannot write: full" } }));
    });
    const from = join(directory, "file");
    await writeFile(from, "x".repeat(100_000));
    await expect(upload(client, from, inSandbox, signal)).rejects.toMatchObject({ code: "storage_full" });
  });
});

describe("download()", () => {
  it("writes all of a file, in however many parts it comes", async () => {
    const client = await platform((_request, response) => {
      response.write("one ");
      setTimeout(() => response.end("two"), 10);
    });
    const to = join(directory, "copy");
    await download(client, inSandbox, to, signal);
    expect(await readFile(to, "utf8")).toBe("one two");
    expect(await readdir(directory)).toEqual(["copy"]);
  });

  it("leaves nothing of what breaks off, and says that it did", async () => {
    const client = await platform((_request, response) => {
      response.writeHead(200, { "content-length": 100 }).write("half");
      setTimeout(() => response.destroy(), 10);
    });
    await expect(download(client, inSandbox, join(directory, "copy"), signal)).rejects.toMatchObject({
      code: "unavailable",
    });
    expect(await readdir(directory)).toEqual([]);
  });

  it("says where it cannot write", async () => {
    const client = await platform((_request, response) => response.end("x"));
    const to = join(directory, "no", "such", "place");
    await expect(download(client, inSandbox, to, signal)).rejects.toMatchObject({
      code: "invalid_request",
      message: `Cannot write ${to}: ENOENT`,
    });
  });
});
