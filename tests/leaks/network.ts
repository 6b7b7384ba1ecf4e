/** Network things of this network namespace: interfaces, namespaces, rules and switches. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** Named network namespaces. */
export async function listNamespaces(): Promise<string[]> {
  return existsSync("/run/netns") ? readdirSync("/run/netns") : [];
}

/** Interfaces with their kind; of TAPs, who may open them. */
export async function listInterfaces(): Promise<string[]> {
  return readdirSync("/sys/class/net").map((name) => {
    const directory = `/sys/class/net/${name}`;
    return existsSync(`${directory}/tun_flags`)
      ? `${name} (TAP of user ${readFileSync(`${directory}/owner`, "utf8").trim()})`
      : name;
  });
}

/** Every line of the nft ruleset (tables, chains, sets, elements, rules) and of legacy iptables, without counters. */
export async function listFirewallRules(): Promise<string[]> {
  const { stdout } = await execute("nft", ["--stateless", "list", "ruleset"], { maxBuffer: 64 * 1024 * 1024 });
  return [...linesWithPlace(stdout), ...(await listLegacyRules())];
}

/** Which interfaces forward, and whether the machine does. */
export async function listSettings(): Promise<string[]> {
  const read = (path: string) => `${path.slice("/proc/sys/".length)} = ${readFileSync(path, "utf8").trim()}`;
  const settings = [read("/proc/sys/net/ipv4/ip_forward")];
  for (const name of readdirSync("/proc/sys/net/ipv4/conf"))
    settings.push(read(`/proc/sys/net/ipv4/conf/${name}/forwarding`));
  return settings;
}

/** `table inet wrenn > chain input > iifname …`, so that a line says where it is. */
function linesWithPlace(ruleset: string): string[] {
  const place: string[] = [];
  const lines: string[] = [];
  for (const line of ruleset.split("\n").map((text) => text.trim())) {
    if (line === "}") place.pop();
    else if (line.endsWith("{") && !line.includes("=")) {
      place.push(line.slice(0, -1).trim());
      lines.push(place.join(" > "));
    } else if (line !== "") lines.push([...place, line].join(" > "));
  }
  return lines;
}

/** Legacy tables exist only where something used them; nft does not see those. */
async function listLegacyRules(): Promise<string[]> {
  const rules: string[] = [];
  for (const [names, tool] of [
    ["/proc/net/ip_tables_names", "iptables-legacy-save"],
    ["/proc/net/ip6_tables_names", "ip6tables-legacy-save"],
  ] as const) {
    if (!existsSync(names) || readFileSync(names, "utf8").trim() === "") continue;
    const { stdout } = await execute(tool, []);
    rules.push(
      ...stdout
        .split("\n")
        .filter((line) => line.startsWith("-A"))
        .map((line) => `${tool}: ${line}`),
    );
  }
  return rules;
}
