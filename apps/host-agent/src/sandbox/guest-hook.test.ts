import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import { afterEach, expect, it } from "vitest";
import { GUEST_AGENT_PORT } from "../envd/connect-to-guest.ts";
import { GuestAgent } from "../envd/guest-agent.ts";
import { runGuestHook } from "./guest-hook.ts";
import type { SandboxRecord } from "./record.ts";

const ADDRESS = "127.77.0.1";
const record = { id: "sb1", incarnation: 1, accessToken: "t", envs: {}, templateBuildId: "b" } as SandboxRecord;
let stop = async (): Promise<void> => undefined;
afterEach(async () => {
  await stop();
});

async function guestThat(answers: RequestListener): Promise<GuestAgent> {
  const server = createServer(answers);
  server.listen(GUEST_AGENT_PORT, ADDRESS);
  await once(server, "listening");
  const guest = new GuestAgent(ADDRESS, "t");
  stop = async () => {
    await guest.close();
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  };
  return guest;
}

it("asks a guest that does not come to answering again, with entropy and a clock of their own", async () => {
  const bodies: string[] = [];
  const guest = await guestThat((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      bodies.push(body);
      if (bodies.length < 3) request.socket.destroy();
      else response.writeHead(204).end();
    });
  });
  await runGuestHook(guest, record, undefined, AbortSignal.timeout(30_000));
  expect(bodies).toHaveLength(3);
  expect(new Set(bodies.map((body) => (JSON.parse(body) as { entropy: string }).entropy)).size).toBe(3);
});

it("gives a guest up that never comes to answering", async () => {
  let asked = 0;
  const guest = await guestThat((request) => {
    asked += 1;
    request.socket.destroy();
  });
  await expect(runGuestHook(guest, record, undefined, AbortSignal.timeout(30_000))).rejects.toMatchObject({
    code: "sandbox_unreachable",
  });
  expect(asked).toBe(3);
});

it("tells a guest the time again that took long to take it", async () => {
  const times: number[] = [];
  const guest = await guestThat((request, response) => {
    void text(request).then(async (body) => {
      times.push(Date.parse((JSON.parse(body) as { timestamp: string }).timestamp));
      await setTimeout(times.length === 1 ? 1_200 : 0);
      response.writeHead(204).end();
    });
  });
  await runGuestHook(guest, record, undefined, AbortSignal.timeout(30_000));
  expect(times).toHaveLength(2);
  expect((times[1] as number) - (times[0] as number)).toBeGreaterThan(1_000);
});
