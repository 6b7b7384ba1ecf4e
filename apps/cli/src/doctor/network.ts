/** Networks: nftables, iproute2, resolvers, the API's port. */
import { Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import { run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { DEFAULT_PORT } from "../config.ts";
import { layoutOf } from "../platform/layout.ts";
import { readLiveRecord } from "../platform/supervisor-record.ts";
import type { Check } from "./finding.ts";

export const checkNftables: Check = async (_config, signal) => {
  const name = "nftables";
  try {
    const { stdout } = await run(["nft", "--version"], { signal, timeoutMs: 10_000 });
    await run(["nft", "list", "tables"], { signal, timeoutMs: 10_000 });
    return [{ name, status: "ok", found: stdout.trim() }];
  } catch (error) {
    const { code, message } = WrennError.from(error);
    const hint = process.getuid?.() === 0 ? "Use a kernel with nf_tables" : "Run as root";
    return [
      {
        name,
        status: "missing",
        found: code === "missing_requirement" ? "nft is not installed" : message,
        consequence: "Guests could neither reach the internet nor be kept from the host",
        hint: code === "missing_requirement" ? "apt-get install nftables" : hint,
      },
    ];
  }
};

export const checkIproute: Check = async (_config, signal) => {
  const name = "iproute2";
  try {
    const { stdout } = await run(["ip", "-V"], { signal, timeoutMs: 10_000 });
    return [{ name, status: "ok", found: stdout.trim() }];
  } catch {
    return [
      {
        name,
        status: "missing",
        found: "ip is not installed",
        consequence: "VMs would have no network",
        hint: "apt-get install iproute2",
      },
    ];
  }
};

const RESOLVER_TIMEOUT_MS = 2_000;

export const checkResolvers: Check = async (config, signal) => {
  const name = "resolvers";
  const configured = config.WRENN_DNS?.split(",").map((address) => address.trim());
  const servers = configured ?? resolversOf(await readFile("/etc/resolv.conf", "utf8").catch(() => ""));
  const source = configured === undefined ? "/etc/resolv.conf" : "WRENN_DNS";
  if (servers.length === 0) {
    return [
      {
        name,
        status: "limited",
        found: `${source} names no resolver`,
        consequence: "Guests cannot look up names",
        hint: "Name some: WRENN_DNS=9.9.9.9,1.1.1.1",
      },
    ];
  }
  const silent: string[] = [];
  for (const server of servers) if (!(await answers(server, signal))) silent.push(server);
  if (silent.length === 0) return [{ name, status: "ok", found: `${servers.join(", ")} (${source})` }];
  return [
    {
      name,
      status: "limited",
      found: `no answer from ${silent.join(", ")} (${source})`,
      consequence: silent.length === servers.length ? "Guests cannot look up names" : "Look-ups in guests may be slow",
      hint: "Name resolvers that answer: WRENN_DNS=9.9.9.9,1.1.1.1",
    },
  ];
};

/** Nameservers of resolv.conf(5), IPv4 only: guests have no IPv6. */
function resolversOf(text: string): string[] {
  return [...text.matchAll(/^\s*nameserver\s+(\d+\.\d+\.\d+\.\d+)\s*$/gm)].map(([, address = ""]) => address);
}

/** Any answer counts, also that the root has no such record. */
async function answers(server: string, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const resolver = new Resolver({ timeout: RESOLVER_TIMEOUT_MS, tries: 1 });
  try {
    resolver.setServers([server]);
    await resolver.resolveNs(".");
    return true;
  } catch (error) {
    return !["ETIMEOUT", "ECONNREFUSED", "ERR_INVALID_IP_ADDRESS"].includes(
      (error as NodeJS.ErrnoException).code ?? "",
    );
  }
}

export const checkPort: Check = async (config) => {
  const port = config.WRENN_PORT ?? DEFAULT_PORT;
  const name = "port";
  const record = await readLiveRecord(layoutOf(config.stateDirectory)).catch(() => undefined);
  if (record !== undefined) return [{ name, status: "ok", found: `the platform serves at ${record.url}` }];
  const probe = createServer();
  try {
    probe.listen(port, config.WRENN_LISTEN);
    await once(probe, "listening");
    return [{ name, status: "ok", found: `${port} is free on ${config.WRENN_LISTEN}` }];
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return [
      {
        name,
        status: "missing",
        found:
          code === "EADDRINUSE"
            ? `${port} is taken by another program`
            : `cannot listen on ${config.WRENN_LISTEN}:${port} (${code})`,
        consequence: "The API cannot be served there",
        hint: `Choose another port, such as WRENN_PORT=${port + 10}`,
      },
    ];
  } finally {
    probe.close();
  }
};
