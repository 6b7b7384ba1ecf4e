import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { goneSignal, whenGone } from "./gone.ts";

let server: Server;
let client: Socket;
let raw: ServerResponse;

beforeEach(async () => {
  server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  client.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  [, raw] = (await once(server, "request")) as [IncomingMessage, ServerResponse];
});
afterEach(() => {
  client.destroy();
  server.close();
});

describe("goneSignal()", () => {
  it("tells that the client leaves", async () => {
    const signal = goneSignal({ raw });
    expect(signal.aborted).toBe(false);
    client.destroy();
    await once(raw, "close");
    expect(signal.reason).toMatchObject({ code: "canceled" });
  });

  it("tells that the client left before it was asked for", async () => {
    client.destroy();
    await once(raw, "close");
    expect(goneSignal({ raw }).reason).toMatchObject({ code: "canceled" });
  });
});

describe("whenGone()", () => {
  it("can be taken back", async () => {
    let calls = 0;
    const stay = whenGone({ raw }, () => calls++);
    stay();
    client.destroy();
    await once(raw, "close");
    expect(calls).toBe(0);
  });
});
