/**
 * A guest without a VM: a network namespace behind a slot's real TAP. A small C program holds the
 * TAP as the slot's user and carries frames, as a VMM would; programs in the namespace are the guest's.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, renameSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { decode, encodeQuery, type DnsMessage } from "./dns-message.ts";
import type { Attempt, Outcome } from "./guest-process.ts";
import { endProcess, ip, runInside, startNodeInside } from "./namespaces.ts";

/** What of a slot the guest needs. */
export interface SlotLike {
  index: number;
  namespacePath: string;
  tapName: string;
  uid: number;
}

/** Packets of these tests stay on the machine: what is not answered by then never will be. */
const PATIENCE_MS = 700;

const GUEST_ADDRESS = "169.254.0.21";
const GATEWAY_ADDRESS = "169.254.0.22";
const GUEST_MAC = "02:fc:00:00:00:05";
const GATEWAY_MAC = "02:fc:00:00:00:06";

/** A running stand-in. */
export interface Guest {
  namespace: string;
  /** `open`, `timeout` or an errno: did a TCP connection come about? */
  tcp(address: string, port: number, options?: { text?: string; from?: string }): Promise<string>;
  /** True when a datagram was answered. */
  udp(address: string, port: number, text: string, options?: { from?: string }): Promise<boolean>;
  /** Serves TCP on a port of the guest; each client is told the address that it comes from. */
  listen(port: number): Promise<void>;
  /** True when an ICMP echo was answered. */
  ping(address: string): Promise<boolean>;
  /** Asks a resolver, the gateway unless told; undefined when there was no answer. */
  resolve(name: string, options?: { over?: "tcp" | "udp"; resolver?: string }): Promise<DnsMessage | undefined>;
  /** Sends one Ethernet frame as it is. */
  sendFrame(hex: string): void;
  /** Runs a program in the guest's namespace. */
  run(argv: readonly string[]): string;
  stop(): Promise<void>;
}

/** Starts a guest on a slot. */
export async function startGuest(slot: SlotLike): Promise<Guest> {
  const standIn = buildStandIn();
  const namespace = `wguest${slot.index}`;
  const namespacePath = `/run/netns/${namespace}`;
  ip([`netns add ${namespace}`]);
  const wire = spawn(standIn, ["wire", slot.namespacePath, slot.tapName, String(slot.uid), namespacePath, "eth0"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await Promise.race([once(wire.stdout, "data"), once(wire, "exit")]);
  ip(
    [
      "link set lo up",
      `link set eth0 address ${GUEST_MAC}`,
      `addr add ${GUEST_ADDRESS}/30 dev eth0`,
      "link set eth0 up",
      `route add default via ${GATEWAY_ADDRESS}`,
      // IPv6 as a guest could set it up for itself, with the gateway's link address known
      "addr add 2001:db8:213::21/64 dev eth0 nodad",
      `neigh add 2001:db8:213::22 lladdr ${GATEWAY_MAC} dev eth0 nud permanent`,
      "route add default via 2001:db8:213::22 dev eth0",
    ],
    namespace,
  );
  const programs = await startNodeInside(namespacePath, fileURLToPath(new URL("guest-process.ts", import.meta.url)));
  const waiting = new Map<number, (outcome: Outcome) => void>();
  programs.on("message", (outcome: Outcome) => waiting.get(outcome.id)?.(outcome));
  let lastId = 0;
  const attempt = async (what: Omit<Attempt, "id" | "timeoutMs">): Promise<Outcome> => {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const id = ++lastId;
    waiting.set(id, resolve);
    programs.send({ id, timeoutMs: PATIENCE_MS, ...what } satisfies Attempt);
    return promise;
  };
  return {
    namespace,
    tcp: async (address, port, { text, ...options } = {}) => {
      const outcome = await attempt({
        kind: "tcp",
        address,
        port,
        ...(text === undefined ? {} : { hex: Buffer.from(text).toString("hex") }),
        ...options,
      });
      return outcome.state;
    },
    udp: async (address, port, text, options = {}) => {
      const { state } = await attempt({
        kind: "udp",
        address,
        port,
        hex: Buffer.from(text).toString("hex"),
        ...options,
      });
      return state === "open";
    },
    listen: async (port) => void (await attempt({ kind: "listen", address: "0.0.0.0", port })),
    ping: async (address) => {
      const child = spawn("nsenter", [`--net=${namespacePath}`, standIn, "ping", address, String(PATIENCE_MS)], {
        stdio: "ignore",
      });
      const [status] = (await once(child, "exit")) as [number];
      return status === 0;
    },
    resolve: async (name, { over = "udp", resolver = GATEWAY_ADDRESS } = {}) => {
      const query = encodeQuery(++lastId & 0xffff, name);
      const length = Buffer.from([query.length >> 8, query.length & 255]);
      const hex = (over === "tcp" ? Buffer.concat([length, query]) : query).toString("hex");
      const { state, hex: answer } = await attempt({ kind: over, address: resolver, port: 53, hex });
      return state === "open" ? decode(Buffer.from(answer, "hex").subarray(over === "tcp" ? 2 : 0)) : undefined;
    },
    sendFrame: (hex) => void runInside(namespacePath, [standIn, "frame", "eth0", hex]),
    run: (argv) => runInside(namespacePath, argv),
    stop: async () => {
      await endProcess(programs);
      await endProcess(wire);
      ip([`netns del ${namespace}`]);
    },
  };
}

/** Builds the C program when it is not newer than its source; the path. */
function buildStandIn(): string {
  const source = fileURLToPath(new URL("guest-stand-in.c", import.meta.url));
  const directory = fileURLToPath(new URL("../../target/network-tests/", import.meta.url));
  const program = `${directory}guest-stand-in`;
  const built = statSync(program, { throwIfNoEntry: false });
  if (built === undefined || built.mtimeMs < statSync(source).mtimeMs) {
    mkdirSync(directory, { recursive: true });
    execFileSync("cc", ["-Wall", "-O1", "-o", `${program}.${process.pid}`, source]);
    renameSync(`${program}.${process.pid}`, program);
  }
  return program;
}
