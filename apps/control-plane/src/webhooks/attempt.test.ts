import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import type { EventRow } from "../database/tables.ts";
import { attempt } from "./attempt.ts";
import { Destinations } from "./destination.ts";
import { mintSecret } from "./signature.ts";

const TIMEOUT_MS = 200;
const EVENT: EventRow = {
  id: 7,
  team_id: "team_00000000000000000000",
  sandbox_id: "sb00000000000000000000",
  type: "sandbox.running",
  created_at: "2026-01-01T00:00:00.000000Z",
  data: { status: "running" } as EventRow["data"],
};

const destinations = new Destinations(["127.0.0.1/32"], { timeoutMs: TIMEOUT_MS });
let receiver: Server | undefined;

afterEach(() => {
  receiver?.closeAllConnections();
  receiver?.close();
  receiver = undefined;
});

async function outcome(listener: RequestListener): Promise<string> {
  receiver = createServer(listener).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  return await outcomeAt(`http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`);
}

async function outcomeAt(url: string): Promise<string> {
  return await attempt({ id: "hook_1", url, secret: mintSecret() }, EVENT, destinations).then(
    () => "delivered",
    (error: Error) => error.message,
  );
}

describe("attempt()", () => {
  it("delivers to who answers 2xx, however long the rest of the answer takes", async () => {
    expect(await outcome((_request, response) => response.writeHead(204).end())).toBe("delivered");
    expect(await outcome((_request, response) => response.writeHead(200).write("x"))).toBe("delivered");
  });

  it.each([302, 404, 500])("does not deliver to who answers %d", async (status) => {
    const refused = outcome((_request, response) => response.writeHead(status, { location: "/elsewhere" }).end());
    expect(await refused).toBe(`it was answered with ${status}`);
  });

  it("says of who does not answer that it does not", async () => {
    expect(await outcome(() => undefined)).toBe("it did not answer within 0.2 s");
  });

  it("says of who hangs up, or is not there, what the kernel says", async () => {
    expect(await outcome((request) => request.socket.destroy())).toBe("UND_ERR_SOCKET");
    expect(await outcomeAt("http://127.0.0.1:1/")).toBe("ECONNREFUSED");
  });

  it("does not connect to a private address", async () => {
    expect(await outcomeAt("http://10.0.0.1/")).toContain("its address is private");
  });
});
