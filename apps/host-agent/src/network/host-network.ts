/**
 * What a platform changes on the host beside its veths: one nft table, and the forwarding of the
 * interfaces that guests' packets leave by. Both follow the host's routes, both go with the platform.
 */
import type { Logger } from "pino";
import { CLOSED_RANGES, hostAddresses } from "./closed-ranges.ts";
import { forwards, forwardsGlobally, setForwarding } from "./forwarding.ts";
import { hostRules, hostTableName, isHostTable, OPENED_SET, type HostRuleOptions } from "./host-rules.ts";
import { listSets, loadRules, removeTable } from "./nft.ts";
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
  #resolver: string | undefined;
  /** Interfaces whose forwarding we turned on. */
  #opened: string[] = [];
  #installed = "";
  #busy: Promise<unknown> = Promise.resolve();

  constructor(options: HostNetworkOptions) {
    this.#options = options;
  }

  /** Networks and addresses that guests may not reach as things are. */
  async closed(): Promise<string[]> {
    const routes = await readRoutes();
    return closedBy(routes, this.#uplink(routes));
  }

  /** Installs the table, or brings it up to date when routes, addresses or the resolver changed. */
  async refresh(resolver: string | undefined = this.#resolver): Promise<void> {
    await this.#alone(async () => {
      this.#resolver = resolver;
      const routes = await readRoutes();
      const uplink = this.#uplink(routes);
      const facts = { uplink, resolver, closed: closedBy(routes, uplink), ways: waysOut(routes, uplink, resolver) };
      if (JSON.stringify(facts) === this.#installed) return;
      if (uplink === undefined) this.#options.logger.warn({}, "no default route: guests have no internet");
      const before = new Set([...this.#opened, ...(await openedByPlatforms(hostTableName(this.#options.firstIndex)))]);
      this.#opened = await this.#open(facts.ways);
      await loadRules(hostRules({ ...this.#options, ...facts, opened: this.#opened }));
      this.#installed = JSON.stringify(facts);
      await closeAgain([...before].filter((name) => !this.#opened.includes(name)));
      this.#options.logger.info(facts, "installed the host's network table");
    });
  }

  /** Removes the table and turns off the forwarding that we turned on. */
  async remove(): Promise<void> {
    await this.#alone(async () => {
      await removeTable(hostTableName(this.#options.firstIndex));
      await closeAgain(this.#opened);
      this.#opened = [];
      this.#installed = "";
    });
  }

  #uplink(routes: readonly Route[]): string | undefined {
    return this.#options.uplink ?? defaultInterface(routes);
  }

  /** Makes interfaces forward; returns those that would not without us (or another platform of ours). */
  async #open(names: readonly string[]): Promise<string[]> {
    const openedBefore = await openedByPlatforms();
    const opened: string[] = [];
    for (const name of names) {
      if (!(await forwards(name))) {
        await setForwarding(name, true);
        opened.push(name);
      } else if (openedBefore.has(name) && !(await forwardsGlobally())) opened.push(name);
    }
    return opened;
  }

  /** One change of the host at a time. */
  async #alone(change: () => Promise<void>): Promise<void> {
    const done = this.#busy.then(change);
    this.#busy = done.catch(() => {});
    return done;
  }
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

/** The interfaces that guests' packets leave by: the uplink, and the one towards the resolver. */
function waysOut(routes: readonly Route[], uplink: string | undefined, resolver: string | undefined): string[] {
  const towardsResolver = resolver === undefined ? undefined : interfaceTowards(routes, resolver);
  return [...new Set([uplink, towardsResolver].filter((name) => name !== undefined))];
}

/** Interfaces that the tables of Wrenn platforms say they opened; of one table, or of all. */
async function openedByPlatforms(table?: string): Promise<Set<string>> {
  const sets = (await listSets()).filter(
    (set) => set.family === "inet" && isHostTable(set.table) && set.name === OPENED_SET,
  );
  const ours = table === undefined ? sets : sets.filter((set) => set.table === table);
  return new Set(ours.flatMap((set) => set.elem ?? []).map(String));
}

/** Turns forwarding off again, unless another platform of ours relies on it or the machine became a router. */
async function closeAgain(names: readonly string[]): Promise<void> {
  if (names.length === 0 || (await forwardsGlobally())) return;
  const stillUsed = await openedByPlatforms();
  for (const name of names) if (!stillUsed.has(name)) await setForwarding(name, false);
}
