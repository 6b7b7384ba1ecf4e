/**
 * Device state to and from QEMU over Unix sockets: its seccomp sandbox rules out `exec:`, and QEMU 7.2
 * has no `file:`.
 */
import { once } from "node:events";
import { chmod } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { remove } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

/** Most bytes of device state accepted from a VMM, which a guest may have taken over. */
const MAX_STATE_BYTES = 64 * 1024 * 1024;

/** Listens on `path`, lets `send` tell QEMU to connect there, and returns what it writes. */
export async function receiveStream(
  path: string,
  send: (uri: string) => Promise<void>,
  signal: AbortSignal,
): Promise<Buffer> {
  await remove(path, "vm.socket");
  const server = createServer();
  const received = once(server, "connection", { signal }).then(([socket]) => readAll(socket as Socket, signal));
  received.catch(() => undefined);
  try {
    server.listen(path);
    await once(server, "listening", { signal });
    await chmod(path, 0o666); // in the VM's own directory, which no other user can enter
    await send(`unix:${path}`);
    return await received;
  } finally {
    server.close();
    await remove(path, "vm.socket");
  }
}

async function readAll(socket: Socket, signal: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const onAbort = () => socket.destroy(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > MAX_STATE_BYTES)
        throw new WrennError("internal", `Cannot read the device state: more than ${MAX_STATE_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } finally {
    signal.removeEventListener("abort", onAbort);
    socket.destroy();
  }
}

/** Connects to QEMU's incoming socket and writes the state; QEMU loads it as it comes. */
export async function sendStream(path: string, state: Buffer, signal: AbortSignal): Promise<void> {
  const socket = connect({ path });
  try {
    await once(socket, "connect", { signal });
    socket.end(state);
    await once(socket, "finish", { signal });
    // QEMU reads to the end of the stream and closes; an early close shows in its migration status.
    socket.resume();
    await once(socket, "close", { signal });
  } finally {
    socket.destroy();
  }
}
