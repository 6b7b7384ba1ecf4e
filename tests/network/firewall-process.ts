/**
 * A host with another firewall on it: runs in a network namespace of its own (`ip netns exec`), so
 * that a policy of drop there drops nobody else's packets. Does one story and prints, as JSON, what
 * it saw.
 *
 *   node firewall-process.ts STORY STATE_DIRECTORY FIRST_INDEX
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createNetworkPool } from "../../apps/host-agent/src/network/pool.ts";
import { startGuest } from "./guest.ts";
import { ip } from "./namespaces.ts";
import { poolOptions } from "./pool-options.ts";
import { startSimulatedInternet } from "./simulated-internet.ts";

/** What a story tells: does the guest reach the internet before, while and after something happens? */
export interface Seen {
  /** As soon as the platform was up. */
  atFirst: boolean;
  /** After the event of the story, once the platform had time to notice. */
  afterwards: boolean;
  /** The foreign rules while the platform runs, and after it is gone. */
  rules: string;
  rulesAtEnd: string;
  /** Names of the pool's warnings. */
  warnings: string[];
}

/** Sets the scene; what it returns happens while a guest runs. */
type Story = () => () => void;

const drop = { type: "filter", hook: "forward", policy: "drop" };

const stories: Record<string, Story> = {
  /** Somebody's own nft table with a policy of drop. */
  nft: () => {
    nft(
      `add table inet corporate\nadd chain inet corporate forward { type ${drop.type} hook ${drop.hook} priority 10; policy ${drop.policy}; }`,
    );
    return () => {};
  },
  /** firewalld's way: policy accept, and a reject at the end. */
  reject: () => {
    nft(
      "add table inet firewalld\nadd chain inet firewalld filter_FORWARD { type filter hook forward priority 10; policy accept; }\nadd rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited",
    );
    return () => {};
  },
  /** Docker's way, before the platform starts. */
  iptables: () => {
    iptables("-P", "FORWARD", "DROP");
    return () => {};
  },
  /** The same with the old iptables, whose rules nft does not see. */
  legacy: () => {
    execFileSync("iptables-legacy", ["-w", "5", "-P", "FORWARD", "DROP"]);
    return () => {};
  },
  /** Docker is started, and later restarted, beside running guests. */
  "docker-start": () => () => {
    iptables("-P", "FORWARD", "DROP");
    iptables("-F", "FORWARD");
  },
  /** `systemctl restart nftables` begins with a flush of everything. */
  flush: () => () => nft("flush ruleset"),
  /** `sysctl -p` sets the global switch, which sets that of every interface. */
  sysctl: () => () => {
    writeFileSync("/proc/sys/net/ipv4/ip_forward", "1");
    writeFileSync("/proc/sys/net/ipv4/ip_forward", "0");
  },
};

const [story = "", stateDirectory = "", firstIndex = ""] = process.argv.slice(2);
ip(["link set lo up"]);
const happens = stories[story]?.();
if (happens === undefined) throw new RangeError(`Cannot play ${story}: no such story`);
const internet = await startSimulatedInternet();
const options = poolOptions({
  stateDirectory,
  uplink: internet.uplinkInterface,
  resolvers: [internet.resolverAddress],
  firstIndex: Number(firstIndex),
});
const pool = await createNetworkPool(options);
const slot = await pool.acquire("sb1", new AbortController().signal);
const guest = await startGuest(slot);
const reaches = async () =>
  (await guest.tcp(internet.httpAddress, 80)) === "open" && (await guest.resolve("www.wrenn.test")) !== undefined;
const atFirst = await reaches();
happens();
let afterwards = await reaches();
for (const deadline = performance.now() + 10_000; !afterwards && performance.now() < deadline;)
  afterwards = await reaches();
const rules = foreignRules();
await guest.stop();
await pool.release(slot);
await pool.close();
await internet.stop();
const seen: Seen = {
  atFirst,
  afterwards,
  rules,
  rulesAtEnd: foreignRules(),
  warnings: options.log.filter(({ level }) => level !== "info").map(({ message }) => message),
};
process.stdout.write(
  JSON.stringify({ ...seen, forwarding: readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim() }),
);
process.exit(0);

function nft(rules: string): void {
  execFileSync("nft", ["-f", "-"], { input: `${rules}\n` });
}

function iptables(...args: string[]): void {
  execFileSync("iptables", ["-w", "5", ...args]);
}

/** Every rule that is not in a table of ours. */
function foreignRules(): string {
  const tables = execFileSync("nft", ["list", "tables"], { encoding: "utf8" })
    .split("\n")
    .filter((line) => line !== "" && !line.includes(" wrenn"));
  return (
    legacyRules() +
    tables.map((line) => execFileSync("nft", ["list", ...line.split(" ")], { encoding: "utf8" })).join("")
  );
}

function legacyRules(): string {
  const tables = "/proc/net/ip_tables_names";
  if (!existsSync(tables) || !readFileSync(tables, "utf8").includes("filter")) return "";
  return execFileSync("iptables-legacy", ["-S", "FORWARD"], { encoding: "utf8" });
}
