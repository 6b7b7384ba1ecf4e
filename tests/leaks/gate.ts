/** The leak gate of a test file: after every test, the machine is as it was before it. */
import { afterEach, beforeEach } from "vitest";
import { expectNoLeak } from "./expect-no-leak.ts";
import { takeInventory, type Inventory, type InventoryOptions } from "./inventory.ts";

/**
 * Registers the gate; call it at the top level of a file, before its own hooks: Vitest runs those of `afterEach`
 * from the last to the first, and the file's own may still remove something.
 * @param options read before each test, for what a `beforeAll` makes
 */
export function leakGate(options: () => InventoryOptions = () => ({})): void {
  let before: Inventory;
  beforeEach(async () => {
    before = await takeInventory(options());
  });
  afterEach(async () => {
    await expectNoLeak(before);
  });
}
