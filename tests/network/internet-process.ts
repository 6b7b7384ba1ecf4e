/**
 * The servers of the simulated internet, in its namespace and on all of its addresses: a resolver
 * (UDP and TCP port 53), HTTP on 80, echo on TCP and UDP 7. Tells its parent what arrived.
 *
 *   node internet-process.ts '{"names":{"name.test":["203.0.113.1"]},"addresses":["203.0.113.1"]}'
 */
import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer, type Socket } from "node:net";
import { decode, encodeAnswer } from "./dns-message.ts";

/** Something that reached the simulated internet. */
export interface Arrival {
  kind: "dns-udp" | "dns-tcp" | "http" | "tcp" | "udp";
  /** The address it came from, as the internet sees it. */
  from: string;
  /** The name that was asked for, the path, or the text. */
  text: string;
}

/** What the process is told. */
export interface Internet {
  names: Record<string, string[]>;
  addresses: string[];
}

const { names, addresses } = JSON.parse(process.argv[2] ?? "") as Internet;

function tell(kind: Arrival["kind"], from: string | undefined, text: string): void {
  process.send?.({ kind, from: from ?? "", text } satisfies Arrival);
}

function answer(kind: "dns-udp" | "dns-tcp", from: string | undefined, message: Buffer): Buffer {
  const query = decode(message);
  tell(kind, from, query.name);
  return encodeAnswer(query, names[query.name]);
}

const tcpResolver = createServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.on("data", (data) => {
    const reply = answer("dns-tcp", socket.remoteAddress, data.subarray(2));
    const length = Buffer.alloc(2);
    length.writeUInt16BE(reply.length);
    socket.end(Buffer.concat([length, reply]));
  });
});

const echo = createServer((socket: Socket) => {
  socket.on("error", () => socket.destroy());
  tell("tcp", socket.remoteAddress, "");
  socket.pipe(socket);
});

/** One socket per address: a socket on 0.0.0.0 would answer from whichever address the route prefers. */
async function listenUdp(address: string): Promise<void> {
  const resolver = createSocket("udp4", (message, peer) => {
    resolver.send(answer("dns-udp", peer.address, message), peer.port, peer.address);
  });
  const udpEcho = createSocket("udp4", (message, peer) => {
    tell("udp", peer.address, message.toString());
    udpEcho.send(message, peer.port, peer.address);
  });
  resolver.bind(53, address);
  udpEcho.bind(7, address);
  await Promise.all([once(resolver, "listening"), once(udpEcho, "listening")]);
}

const http = createHttpServer((request, response) => {
  tell("http", request.socket.remoteAddress, request.url ?? "");
  const [, path, size] = (request.url ?? "").split("/");
  if (path === "bytes") response.end(Buffer.alloc(Number(size)));
  else if (path === "mss") response.end(segmentSize(request.socket.remotePort));
  else response.end("simulated internet\n");
});

/** The largest segment that a client takes, as the kernel understood it (ss(8)). */
function segmentSize(clientPort: number | undefined): string {
  const line = execFileSync("ss", ["-tinH", "dport", "=", `:${clientPort}`], { encoding: "utf8" });
  return /\bmss:(\d+)/.exec(line)?.[1] ?? "";
}

tcpResolver.listen(53, "0.0.0.0");
echo.listen(7, "0.0.0.0");
http.listen(80, "0.0.0.0");
await Promise.all([tcpResolver, echo, http].map(async (server) => once(server, "listening")));
await Promise.all(addresses.map(listenUdp));
process.on("disconnect", () => process.exit(0));
process.send?.("ready");
