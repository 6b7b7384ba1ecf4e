/**
 * What a program in a guest would try, on behalf of the test: one attempt per message, answered
 * under the same id. Runs in the guest's namespace behind the slot's TAP.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, isIPv6 } from "node:net";

/** One attempt; `hex` is sent, and what comes back is returned as hex. */
export interface Attempt {
  id: number;
  /** `listen`: serve TCP on `address` and `port`, answering each client with the address that it comes from. */
  kind: "tcp" | "udp" | "listen";
  address: string;
  port: number;
  hex?: string;
  /** Source address, when it is not the guest's own. */
  from?: string;
  timeoutMs: number;
}

/** How it went: `open` and what came back, or why not. */
export interface Outcome {
  id: number;
  /** `open`, `timeout`, or the error code of the socket. */
  state: string;
  hex: string;
}

const attempts = { tcp, udp, listen };

process.on("message", (attempt: Attempt) => {
  void attempts[attempt.kind](attempt).then((outcome) =>
    process.send?.({ id: attempt.id, ...outcome } satisfies Outcome),
  );
});
process.on("disconnect", () => process.exit(0));
process.send?.("ready");

/** Connects; with something to send, waits for an answer of at least one byte, then for the peer's end or 50 ms of silence. */
async function tcp({ address, port, hex, from, timeoutMs }: Attempt): Promise<Omit<Outcome, "id">> {
  const socket = connect({ host: address, port, ...(from === undefined ? {} : { localAddress: from }) });
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    await once(socket, "connect", { signal });
    if (hex === undefined) return { state: "open", hex: "" };
    socket.write(Buffer.from(hex, "hex"));
    const [data] = (await once(socket, "data", { signal })) as [Buffer];
    return { state: "open", hex: data.toString("hex") };
  } catch (error) {
    return { state: stateOf(error), hex: "" };
  } finally {
    socket.on("error", () => {});
    socket.destroy();
  }
}

async function listen({ address, port }: Attempt): Promise<Omit<Outcome, "id">> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.end(socket.remoteAddress ?? "");
  });
  server.listen(port, address);
  await once(server, "listening");
  return { state: "open", hex: "" };
}

/** Sends one datagram and waits for one. */
async function udp({ address, port, hex = "", from, timeoutMs }: Attempt): Promise<Omit<Outcome, "id">> {
  const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
  try {
    socket.bind({ port: 0, ...(from === undefined ? {} : { address: from }) });
    await once(socket, "listening");
    socket.connect(port, address);
    await once(socket, "connect");
    socket.send(Buffer.from(hex, "hex"));
    const [data] = (await once(socket, "message", { signal: AbortSignal.timeout(timeoutMs) })) as [Buffer];
    return { state: "open", hex: data.toString("hex") };
  } catch (error) {
    return { state: stateOf(error), hex: "" };
  } finally {
    socket.close();
  }
}

function stateOf(error: unknown): string {
  const { name, code } = error as NodeJS.ErrnoException;
  return name === "AbortError" ? "timeout" : (code ?? name);
}
