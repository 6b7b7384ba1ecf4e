/**
 * A platform of its own for tests that kill it: makes a pool, takes a slot and, told so, gives it
 * back. Failpoints come with WRENN_FAILPOINTS. Prints one word per thing that worked; the error
 * goes to standard error.
 *
 *   node pool-process.ts STATE_DIRECTORY UPLINK FIRST_INDEX [release]
 */
import { createNetworkPool } from "../../apps/host-agent/src/network/pool.ts";

const [stateDirectory = "", uplink = "", firstIndex = "", ...what] = process.argv.slice(2);
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const pool = await createNetworkPool({
  stateDirectory,
  uplink,
  firstIndex: Number(firstIndex),
  count: 50,
  readyCount: 0,
  uidFirst: 2_000_000,
  resolvers: [],
  logger: quiet,
});
try {
  const slot = await pool.acquire("sb1", new AbortController().signal);
  process.stdout.write("acquired ");
  if (what.includes("release")) {
    await pool.release(slot);
    process.stdout.write("released ");
  }
} catch (error) {
  process.stderr.write(String(error));
} finally {
  await pool.close();
}
process.stdout.write("closed");
process.exit(0);
