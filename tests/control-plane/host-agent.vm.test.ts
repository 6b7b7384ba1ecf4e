import * as fs from "node:fs/promises";
import { join } from "node:path";
import { startPlatform } from "../first-light/platform.ts";
import { expectNoLeak, takeInventory } from "../leaks/index.ts";
import { describeHostContract } from "./host-contract.ts";

describeHostContract("the host agent", async () => {
  // Its sandboxes outlive single tests: the gate is around all of it.
  const before = await takeInventory();
  // the contract's sandboxes have no rows: they must not be cleaned up under the test
  const platform = await startPlatform({ WRENN_SLOT_FIRST: "23000", WRENN_ORPHAN_GRACE_SEC: "3600" });
  const wrongTokenFile = join(platform.directory, "wrong-token");
  await fs.writeFile(wrongTokenFile, "wrong");
  return {
    socketPath: join(platform.directory, "run/host-agent.sock"),
    tokenFile: join(platform.directory, "secrets/agent-token"),
    wrongTokenFile,
    async stop() {
      await platform.stop();
      await expectNoLeak(before);
    },
  };
});
