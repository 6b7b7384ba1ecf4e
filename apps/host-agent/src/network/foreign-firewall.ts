/**
 * Other people's forward chains. A packet is forwarded only when every base chain on the forward
 * hook accepts it, so the accept in our own table does not help where Docker (FORWARD policy drop)
 * or firewalld (reject at the end) is. Such chains get two rules of ours at their top, marked by a
 * comment and removed with the platform: guests to the uplink, and the answers. Who may go where
 * is still decided by our own table.
 */
import { existsSync, readFileSync } from "node:fs";
import { run } from "@wrenn/effects";
import type { Logger } from "pino";
import { isHostTable } from "./host-rules.ts";
import { loadRules, readRuleset, type Chain, type Rule, type Ruleset } from "./nft.ts";

/** What the rules say. */
export interface Admission {
  /** The platform's table: the start of the comment. */
  tag: string;
  /** Interface group of the platform's veths. */
  group: number;
  uplink: string;
}

/** Sees to it that every foreign chain that would drop lets our packets pass; repeating changes nothing. */
export async function admit(
  ruleset: Ruleset,
  admission: Admission,
  logger: Pick<Logger, "info" | "warn">,
): Promise<void> {
  const chains = droppingChains(ruleset);
  for (const chain of chains.filter((each) => !isOfIptables(each)))
    await admitInNft(chain, ruleset.rules, admission, logger);
  for (const tool of iptablesInUse(chains)) await admitInIptables(tool, admission, logger);
}

/** Removes our rules from every foreign chain. */
export async function withdraw(tag: string): Promise<void> {
  const { chains, rules } = await readRuleset();
  const ours = rules.filter((rule) => !isHostTable(rule.table) && isOurs(rule.comment, tag));
  if (ours.length > 0) await loadRules(ours.map(deletion).join("\n"));
  for (const tool of iptablesInUse(chains)) {
    const { stdout: listing } = await iptables(tool, ["-S", "FORWARD"]);
    for (const rule of ourRules(listing, tag)) await iptables(tool, ["-D", ...rule]);
  }
}

/** Base chains on the forward hook that drop what they do not know: by policy, or by a last rule without a condition. */
export function droppingChains({ chains, rules }: Ruleset): Chain[] {
  return chains.filter(
    (chain) =>
      chain.hook === "forward" &&
      (chain.family === "ip" || chain.family === "inet") &&
      !(chain.family === "inet" && isHostTable(chain.table)) &&
      (chain.policy === "drop" || endsInDrop(rules.filter((rule) => isIn(rule, chain)))),
  );
}

function endsInDrop(rules: readonly Rule[]): boolean {
  const words = rules.at(-1)?.expr.flatMap((expression) => Object.keys(expression)) ?? [];
  return (
    words.some((word) => word === "drop" || word === "reject") &&
    words.every((word) => ["drop", "reject", "counter", "log"].includes(word))
  );
}

async function admitInNft(
  chain: Chain,
  rules: readonly Rule[],
  { tag, group, uplink }: Admission,
  logger: Pick<Logger, "info">,
): Promise<void> {
  const comment = `${tag} ${uplink}`;
  const ours = rules.filter((rule) => isIn(rule, chain) && isOurs(rule.comment, tag));
  if (ours.length === 2 && ours.every((rule) => rule.comment === comment)) return;
  const where = `${chain.family} ${chain.table} ${chain.name}`;
  await loadRules(
    [
      ...ours.map(deletion),
      `insert rule ${where} iifname "${uplink}" oifgroup ${group} ct state established,related accept comment "${comment}"`,
      `insert rule ${where} iifgroup ${group} oifname "${uplink}" accept comment "${comment}"`,
    ].join("\n"),
  );
  logger.info({ chain: where }, "let guests pass another firewall's chain");
}

async function admitInIptables(
  tool: string,
  { tag, uplink }: Admission,
  logger: Pick<Logger, "info" | "warn">,
): Promise<void> {
  const comment = ["-m", "comment", "--comment", `${tag} ${uplink}`, "-j", "ACCEPT"];
  const wanted = [
    ["FORWARD", "-i", uplink, "-o", "wrn+", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", ...comment],
    ["FORWARD", "-i", "wrn+", "-o", uplink, ...comment],
  ];
  try {
    const { stdout: listing } = await iptables(tool, ["-S", "FORWARD"]);
    if (!dropsByListing(listing)) return;
    const present = ourRules(listing, tag);
    if (present.length === 2 && present.every((rule) => rule.includes(`${tag} ${uplink}`))) return;
    for (const rule of present) await iptables(tool, ["-D", ...rule]);
    for (const [chain = "", ...rule] of wanted) await iptables(tool, ["-I", chain, "1", ...rule]);
    logger.info({ tool }, "let guests pass another firewall's FORWARD chain");
  } catch (error) {
    const commands = wanted.map(([chain, ...rule]) => `${tool} -I ${chain} 1 ${rule.join(" ")}`);
    logger.warn(
      { err: error, commands },
      "a firewall drops what guests send, and letting it pass failed; run these commands as root",
    );
  }
}

/** True when a listing of `-S FORWARD` drops what it does not know. */
function dropsByListing(listing: string): boolean {
  return (
    /^-P FORWARD DROP$/m.test(listing) || /^-A FORWARD -j (DROP|REJECT)\b/.test(listing.trim().split("\n").at(-1) ?? "")
  );
}

/** Our rules in a listing, each as arguments after `-A`. */
function ourRules(listing: string, tag: string): string[][] {
  return listing
    .split("\n")
    .filter((line) => line.startsWith("-A "))
    .map((line) => [...line.slice(3).matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? ""))
    .filter((words) => isOurs(words[words.indexOf("--comment") + 1], tag));
}

/** `-w`: waits for the lock that other users of iptables hold. */
async function iptables(tool: string, args: readonly string[]): Promise<{ stdout: string }> {
  return run([tool, "-w", "5", ...args]);
}

/** The variants of iptables that have a FORWARD chain: nft's by its chain, the legacy one (which nft does not see) by its table. */
function iptablesInUse(chains: readonly Chain[]): string[] {
  const tools = chains.some(isOfIptables) ? ["iptables-nft"] : [];
  const legacy = "/proc/net/ip_tables_names";
  if (existsSync(legacy) && readFileSync(legacy, "utf8").split("\n").includes("filter")) tools.push("iptables-legacy");
  return tools;
}

function isOfIptables({ family, table, name }: Chain): boolean {
  return family === "ip" && table === "filter" && name === "FORWARD";
}

function isIn(rule: Rule, chain: Chain): boolean {
  return rule.family === chain.family && rule.table === chain.table && rule.chain === chain.name;
}

function isOurs(comment: string | undefined, tag: string): boolean {
  return comment?.split(" ")[0] === tag;
}

function deletion({ family, table, chain, handle }: Rule): string {
  return `delete rule ${family} ${table} ${chain} handle ${handle}`;
}
