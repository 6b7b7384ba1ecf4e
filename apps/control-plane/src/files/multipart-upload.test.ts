import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import type { FastifyRequest } from "fastify";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { receiveForm, type UploadTarget } from "./multipart-upload.ts";

const FILE = 'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n';
const PATH = 'Content-Disposition: form-data; name="path"\r\n\r\n';

let server: Server;
let client: Socket;
/** What was done to the guest. */
let done: string[];

beforeEach(async () => {
  done = [];
  server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  client = connect((server.address() as AddressInfo).port, "127.0.0.1");
});
afterEach(() => {
  client.destroy();
  server.close();
});

const guest: UploadTarget = {
  write: async (_path, body) => void done.push(`wrote ${await text(body)}`),
  move: async (_temporary, path) => void done.push(`moved to ${path}`),
  remove: async () => void done.push("removed"),
};

/** @param length of the body, when it does not come whole */
async function receive(body: string, length = body.length): Promise<{ path: string; size: number }> {
  client.write(
    `POST / HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=XX\r\nContent-Length: ${length}\r\n\r\n`,
  );
  client.write(body);
  const [raw, response] = (await once(server, "request")) as [IncomingMessage, ServerResponse];
  const received = receiveForm({ raw, headers: raw.headers } as FastifyRequest, undefined, guest);
  void received.finally(() => response.end()).catch(() => undefined);
  return await received;
}

describe("receiveForm()", () => {
  it.each([
    ["before", `--XX\r\n${PATH}/p\r\n--XX\r\n${FILE}hello\r\n--XX--\r\n`, ["wrote hello"]],
    ["behind", `--XX\r\n${FILE}hello\r\n--XX\r\n${PATH}/p\r\n--XX--\r\n`, ["wrote hello", "moved to /p"]],
  ])("takes a path that stands %s the file", async (_where, body, expected) => {
    expect(await receive(body)).toEqual({ path: "/p", size: 5 });
    expect(done).toEqual(expected);
  });

  it("removes what it wrote when the form turns out to have no path", async () => {
    await expect(receive(`--XX\r\n${FILE}hello\r\n--XX--\r\n`)).rejects.toMatchObject({ code: "invalid_request" });
    expect(done).toEqual(["wrote hello", "removed"]);
  });

  it("ends, and leaves nothing, when the client goes away in the middle of the file", async () => {
    const received = receive(`--XX\r\n${FILE}hel`, 1_000);
    await once(server, "request");
    client.destroy();
    await expect(received).rejects.toMatchObject({ code: "canceled" });
    expect(done).toEqual(["removed"]);
  });

  it("ends when a path is bad that stands behind a file which does not come whole", async () => {
    const broken = receive(`--XX\r\n${PATH}\0\r\n--XX\r\n${FILE}hel`, 1_000);
    await expect(broken).rejects.toMatchObject({ code: "invalid_request" });
    expect(done.filter((what) => what !== "removed")).toEqual([]);
  });
});
