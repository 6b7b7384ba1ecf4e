/**
 * Loaded into an agent's process before the agent (`node --import`): at each message of its parent it collects garbage
 * and answers with what is reachable then. What waits for the collector is none of what an agent keeps.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

process.on("message", () => {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  process.send?.(heapUsed + external);
});
process.channel?.unref();
