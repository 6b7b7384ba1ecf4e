/**
 * Other people's forward chains. A packet is forwarded only when every base chain on the forward
 * hook accepts it, so the accept in our own table does not help where Docker (FORWARD policy drop)
 * or firewalld (reject at the end) is. Such chains get two rules of ours at their top, marked by a
 * comment and removed with the platform: guests to the uplink, and the answers. Who may go where
 * is still decided by our own table.
 */
import { existsSync, readFileSync } from "node:fs";
import { run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
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
  for (const chain of droppingChains(ruleset)) {
    // rules that iptables did not make itself would keep it from listing the chain
    const listing = isOfIptables(chain) ? await forwardListing("iptables-nft") : undefined;
    if (listing === undefined) await admitInNft(chain, ruleset.rules, admission, logger);
    else await admitInIptables("iptables-nft", listing, admission, logger);
  }
  const legacy = await legacyListing();
  if (dropsByListing(legacy)) await admitInIptables("iptables-legacy", legacy, admission, logger);
}

/** Removes our rules from every foreign chain. */
export async function withdraw(tag: string): Promise<void> {
  const { chains, rules } = await readRuleset();
  const ours = rules.filter((rule) => !isHostTable(rule.table) && isOurs(rule.comment, tag));
  if (ours.length > 0) await loadRules(ours.map(deletion).join("\n"));
  const listing = chains.some(isOfIptables) ? await forwardListing("iptables-nft") : undefined;
  for (const rule of ourRules(listing ?? "", tag)) await iptables("iptables-nft", ["-D", ...rule]);
  for (const rule of ourRules(await legacyListing(), tag)) await iptables("iptables-legacy", ["-D", ...rule]);
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
  logger: Pick<Logger, "info" | "warn">,
): Promise<void> {
  const comment = `${tag} ${uplink}`;
  const ours = rules.filter((rule) => isIn(rule, chain) && isOurs(rule.comment, tag));
  if (ours.length === 2 && ours.every((rule) => rule.comment === comment)) return;
  const where = `${chain.family} ${chain.table} ${chain.name}`;
  const wanted = [
    `insert rule ${where} iifname "${uplink}" oifgroup ${group} ct state established,related accept comment "${comment}"`,
    `insert rule ${where} iifgroup ${group} oifname "${uplink}" accept comment "${comment}"`,
  ];
  const commands = wanted.map((rule) => `nft '${rule}'`);
  await orTellTheUser(where, commands, logger, async () => loadRules([...ours.map(deletion), ...wanted].join("\n")));
}

async function admitInIptables(
  tool: string,
  listing: string,
  { tag, uplink }: Admission,
  logger: Pick<Logger, "info" | "warn">,
): Promise<void> {
  const comment = ["-m", "comment", "--comment", `${tag} ${uplink}`, "-j", "ACCEPT"];
  const wanted = [
    ["-i", uplink, "-o", "wrn+", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", ...comment],
    ["-i", "wrn+", "-o", uplink, ...comment],
  ];
  const present = ourRules(listing, tag);
  if (present.length === 2 && present.every((rule) => rule.includes(`${tag} ${uplink}`))) return;
  const commands = wanted.map(
    (rule) => `${tool} -I FORWARD 1 ${rule.join(" ").replace(/(?<=--comment )(.*)(?= -j)/, "'$1'")}`,
  );
  await orTellTheUser(`FORWARD of ${tool}`, commands, logger, async () => {
    for (const rule of present) await iptables(tool, ["-D", ...rule]);
    for (const rule of wanted) await iptables(tool, ["-I", "FORWARD", "1", ...rule]);
  });
}

/** A firewall that cannot be changed is no reason to make no slots; but somebody has to know. */
async function orTellTheUser(
  chain: string,
  commands: readonly string[],
  logger: Pick<Logger, "info" | "warn">,
  change: () => Promise<void>,
): Promise<void> {
  try {
    await change();
    logger.info({ chain }, "let guests pass another firewall's chain");
  } catch (error) {
    logger.warn(
      { err: error, chain, commands },
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

/** What `-S` lists of the FORWARD chain; undefined without the tool: then no rule of ours is there either. */
async function forwardListing(tool: string): Promise<string | undefined> {
  try {
    return (await iptables(tool, ["-S", "FORWARD"])).stdout;
  } catch (error) {
    if (error instanceof WrennError && error.code === "missing_requirement") return undefined;
    throw error;
  }
}

/** `-w`: waits for the lock that other users of iptables hold. */
async function iptables(tool: string, args: readonly string[]): Promise<{ stdout: string }> {
  return run([tool, "-w", "5", ...args]);
}

/** The FORWARD chain of legacy iptables, which nft does not see; empty where nothing used it. */
async function legacyListing(): Promise<string> {
  const tables = "/proc/net/ip_tables_names";
  if (!existsSync(tables) || !readFileSync(tables, "utf8").split("\n").includes("filter")) return "";
  return (await forwardListing("iptables-legacy")) ?? "";
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
