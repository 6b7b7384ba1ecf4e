/** Removing several things by name: one that fails does not keep the others, and the exit code is its. */
import { WrennError } from "@wrenn/errors";
import { exitCodeOf } from "./exit-code.ts";
import type { Output } from "./terminal/output.ts";

/**
 * Calls `remove` for each name in turn and prints what is gone.
 * @param options.force do not mind those that do not exist
 * @returns the exit code
 * @throws WrennError `canceled`, `unavailable`: the next ones would fail alike
 */
export async function removeEach(
  output: Output,
  names: readonly string[],
  options: { force?: boolean; past: "destroyed" | "deleted" },
  remove: (name: string) => Promise<unknown>,
): Promise<number> {
  let exitCode = 0;
  const removed: string[] = [];
  for (const name of names) {
    try {
      await remove(name);
      removed.push(name);
      if (!output.json) output.line(name);
    } catch (thrown) {
      const error = WrennError.from(thrown);
      if (error.code === "not_found" && options.force === true) continue;
      if (error.code === "canceled" || error.code === "unavailable") throw error;
      output.error(error);
      exitCode = exitCodeOf(error);
    }
  }
  if (output.json) output.line(JSON.stringify({ [options.past]: removed }));
  return exitCode;
}
