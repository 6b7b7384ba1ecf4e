/**
 * What a platform changes on the host beside its veths: one nft table, and the forwarding of the
 * interfaces that guests' packets leave by. Both follow the host's routes, both go with the platform.
 */
import { existsSync, readFileSync } from "node:fs";
import type { Logger } from "pino";
import { CLOSED_RANGES, hostAddresses } from "./closed-ranges.ts";
import { forwards, forwardsGlobally, isInterface, setForwarding, veths } from "./forwarding.ts";
import { admit, withdraw } from "./foreign-firewall.ts";
import {
  hostRules,
  hostTableName,
  interfaceGroup,
  isHostTable,
  OPENED_SET,
  type HostRuleOptions,
} from "./host-rules.ts";
import { inOrder } from "../joined-errors.ts";
import { loadRules, readRuleset, removeTable, type Ruleset } from "./nft.ts";
import { connectedNetworks, contains, defaultInterface, interfaceTowards, readRoutes, type Route } from "./routes.ts";

/** The range of a platform and what its operator chose. */
export interface HostNetworkOptions extends Pick<HostRuleOptions, "firstIndex" | "count" | "ranges"> {
  /** The interface towards the internet; that of the default route unless told. */
  uplink: string | undefined;
  logger: Pick<Logger, "debug" | "info" | "warn" | "error">;
}

/** The host's side of all slots. */
export class HostNetwork {
  readonly #options: HostNetworkOptions;
  readonly #table: string;
  #resolver: string | undefined;
  /** What the installed table was made from. */
  #installed = "";
  /** Interfaces that we made forward; the table says so too, but somebody may flush it. */
  #opened: readonly string[] = [];
  #busy: Promise<void> = Promise.resolve();

  constructor(options: HostNetworkOptions) {
    this.#options = options;
    this.#table = hostTableName(options.firstIndex);
  }

  /** Networks and addresses that guests may not reach as things are. */
  closed(): string[] {
    const routes = readRoutes();
    return closedBy(routes, this.#uplink(routes));
  }

  /** Brings everything up to date when routes, addresses or the resolver changed; else this spawns nothing. */
  async refresh(resolver: string | undefined = this.#resolver): Promise<void> {
    await this.#alone(async () => {
      this.#resolver = resolver;
      const facts = this.#facts();
      if (JSON.stringify(facts) !== this.#installed) await this.#install(facts);
    });
  }

  /** Turns forwarding on again where somebody turned it off: writing the global switch does that to every interface. */
  async keepForwarding(): Promise<void> {
    await this.#alone(async () => {
      const facts = this.#facts();
      const ours = await veths(interfaceGroup(this.#options.firstIndex));
      const off: string[] = [];
      for (const name of [...facts.ways, ...ours]) if ((await forwards(name)) === false) off.push(name);
      if (off.length === 0) return;
      for (const name of off.filter((each) => ours.includes(each))) await setForwarding(name, true);
      if (off.some((name) => facts.ways.includes(name))) await this.#install(facts);
      this.#options.logger.warn({ interfaces: off }, "turned interfaces' forwarding on again: guests need it");
    });
  }

  /** Looks whether our table is still there and nobody else drops our packets, and repairs both. */
  async repair(): Promise<void> {
    await this.#alone(async () => {
      const facts = this.#facts();
      const ruleset = await readRuleset();
      if (JSON.stringify(facts) === this.#installed && ruleset.chains.some(({ table }) => table === this.#table))
        await this.#admit(facts, ruleset);
      else await this.#install(facts);
    });
  }

  /** Removes the table and our rules elsewhere, and turns off the forwarding that we turned on. */
  async remove(): Promise<void> {
    await this.#alone(async () => {
      this.#installed = "";
      const opened = this.#opened;
      this.#opened = [];
      // the table after what is elsewhere: as long as it is there, a crash is cleaned up by the next start
      await inOrder("Cannot remove the host's network rules", [
        async () => withdraw(this.#table),
        async () => removeTable(this.#table),
        async () => closeAgain(opened),
      ]);
    });
  }

  #facts(): Facts {
    const routes = readRoutes();
    const uplink = this.#uplink(routes);
    return {
      connections: guestConnections(),
      isRouter: forwardsGlobally(),
      uplink,
      resolver: this.#resolver,
      closed: closedBy(routes, uplink),
      ways: waysOut(routes, uplink, this.#resolver),
    };
  }

  async #install(facts: Facts): Promise<void> {
    const { logger } = this.#options;
    if (facts.uplink === undefined) logger.warn({}, "no default route: guests have no internet");
    else if (!facts.ways.includes(facts.uplink))
      logger.warn({ uplink: facts.uplink }, "the uplink does not exist: guests have no internet");
    const ruleset = await readRuleset();
    const openedBefore = [...this.#opened, ...openedBy(ruleset, (table) => table === this.#table)];
    this.#opened = await open(facts.ways, [...this.#opened, ...openedBy(ruleset, isHostTable)]);
    await loadRules(hostRules({ ...this.#options, ...facts, opened: this.#opened }));
    await closeAgain(openedBefore.filter((name) => !this.#opened.includes(name)));
    await this.#admit(facts, ruleset);
    this.#installed = JSON.stringify(facts);
    logger.info(facts, "installed the host's network table");
  }

  async #admit({ uplink }: Facts, ruleset: Ruleset): Promise<void> {
    if (uplink === undefined) return;
    await admit(
      ruleset,
      { tag: this.#table, group: interfaceGroup(this.#options.firstIndex), uplink },
      this.#options.logger,
    );
  }

  #uplink(routes: readonly Route[]): string | undefined {
    return this.#options.uplink ?? defaultInterface(routes);
  }

  /** One change of the host at a time. */
  async #alone(change: () => Promise<void>): Promise<void> {
    const done = this.#busy.then(change);
    this.#busy = done.catch(() => {});
    return done;
  }
}

/** What the table is made from. */
interface Facts {
  connections: number;
  /** The machine is a router: then nothing that forwards does so because of us. */
  isRouter: boolean;
  uplink: string | undefined;
  resolver: string | undefined;
  closed: string[];
  ways: string[];
}

/** Half of the host's connection table (nf_conntrack-sysctl.rst): the host needs the other. */
function guestConnections(): number {
  const limit = "/proc/sys/net/netfilter/nf_conntrack_max";
  // the module comes with the first rule that needs it; the kernel's own smallest default until then
  return Math.floor((existsSync(limit) ? Number(readFileSync(limit, "utf8")) : 65_536) / 2);
}

/** What is closed beside the ranges that always are: the host's public addresses and its neighbours. */
function closedBy(routes: readonly Route[], uplink: string | undefined): string[] {
  const neighbours = uplink === undefined ? [] : connectedNetworks(routes, uplink);
  const isClosed = (address: string) =>
    CLOSED_RANGES.some((range) => {
      const [network = "", length = "32"] = range.split("/");
      return contains(network, Number(length), address);
    });
  const own = [...hostAddresses(), ...neighbours].filter((range) => !isClosed(range.split("/")[0] ?? range));
  return [...CLOSED_RANGES, ...new Set(own.toSorted())];
}

/** The interfaces that guests' packets leave by: the uplink, and the one towards the resolver; those that exist. */
function waysOut(routes: readonly Route[], uplink: string | undefined, resolver: string | undefined): string[] {
  const towardsResolver = resolver === undefined ? undefined : interfaceTowards(routes, resolver);
  return [...new Set([uplink, towardsResolver])]
    .filter((name) => name !== undefined)
    .filter((name) => isInterface(name));
}

/** Makes interfaces forward; returns those that would not without us or another platform of ours. */
async function open(names: readonly string[], openedBefore: readonly string[]): Promise<string[]> {
  const opened: string[] = [];
  for (const name of names) {
    if ((await forwards(name)) === false) {
      if (await setForwarding(name, true)) opened.push(name);
    } else if (openedBefore.includes(name) && !forwardsGlobally()) opened.push(name);
  }
  return opened;
}

/** Turns forwarding off again, unless another platform of ours relies on it or the machine became a router. */
async function closeAgain(names: readonly string[]): Promise<void> {
  if (names.length === 0 || forwardsGlobally()) return;
  const stillUsed = openedBy(await readRuleset(), isHostTable);
  for (const name of names) if (!stillUsed.includes(name)) await setForwarding(name, false);
}

/** Interfaces that Wrenn tables say they opened. */
function openedBy({ sets }: Ruleset, isCounted: (table: string) => boolean): string[] {
  return sets
    .filter((set) => set.family === "inet" && isCounted(set.table) && set.name === OPENED_SET)
    .flatMap((set) => (set.elem ?? []).map(String));
}
