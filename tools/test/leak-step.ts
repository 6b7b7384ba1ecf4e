/** Around the whole run: afterwards the machine has nothing that it did not have before. */
import { expectNoLeak, LeakError, takeInventory } from "../../tests/leaks/index.ts";
import { NONE } from "./counts.ts";
import type { Step } from "./step.ts";

/** A platform of the user's own may be up meanwhile, and keep its pool of slots ready. */
const USERS_STATE_DIRECTORY = "/var/lib/wrenn";

/** Looks at the machine now; the step that is returned looks again. Undefined without root. */
export async function watchForLeaks(): Promise<Step | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const before = await takeInventory({ stateDirectory: USERS_STATE_DIRECTORY });
  return {
    name: "leaks",
    part: "vm",
    async run() {
      try {
        await expectNoLeak(before);
        return { counts: { ...NONE, passed: 1 }, failures: [] };
      } catch (error) {
        if (!(error instanceof LeakError)) throw error;
        return { counts: { ...NONE, failed: 1 }, failures: error.leaks.map(({ kind, item }) => `${kind}: ${item}`) };
      }
    },
  };
}
