/**
 * Which of several resolvers is in use: the first that answers. All slots follow at once when it
 * changes, those of running guests too, because namespaces send DNS to an alias on the host.
 */
import { Resolver } from "node:dns/promises";

/** How long a resolver may take to answer before it counts as gone. */
const PROBE_TIMEOUT_MS = 2_000;
const PROBE_INTERVAL_MS = 30_000;

/** Errors of node:dns that mean that nobody answered; every other one is an answer. */
const SILENCE = new Set(["ETIMEOUT", "ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ECANCELLED"]);

/** Keeps to the first resolver that answers. */
export class ResolverChoice {
  readonly #resolvers: readonly string[];
  readonly #intervalMs: number;
  #timer: NodeJS.Timeout | undefined;
  #current: string | undefined;

  constructor(resolvers: readonly string[], intervalMs: number = PROBE_INTERVAL_MS) {
    this.#resolvers = resolvers;
    this.#intervalMs = intervalMs;
    this.#current = resolvers[0];
  }

  /** The resolver to use; the first one when none answers. One alone is not asked. */
  async choose(): Promise<string | undefined> {
    if (this.#resolvers.length < 2) return this.#current;
    // all are asked at once, the answers taken in order of preference
    const answers = this.#resolvers.map(async (address) => ({ address, answered: await answersDns(address) }));
    for (const answer of answers) {
      const { address, answered } = await answer;
      if (answered) return (this.#current = address);
    }
    return this.#current;
  }

  /** Asks again and again, and tells when the choice changes. */
  watch(onChange: (resolver: string | undefined) => Promise<void>): void {
    if (this.#resolvers.length < 2) return;
    const again = async () => {
      const before = this.#current;
      const now = await this.choose();
      if (this.#timer === undefined) return; // stopped meanwhile
      if (now !== before) await onChange(now).catch(() => (this.#current = before));
      this.#timer.refresh();
    };
    this.#timer = setTimeout(() => void again(), this.#intervalMs).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** True when something at `address` answers a question for the root zone, whatever it says. */
async function answersDns(address: string): Promise<boolean> {
  const resolver = new Resolver({ timeout: PROBE_TIMEOUT_MS, tries: 1 });
  resolver.setServers([address]);
  try {
    await resolver.resolveNs(".");
    return true;
  } catch (error) {
    return !SILENCE.has((error as NodeJS.ErrnoException).code ?? "");
  }
}
