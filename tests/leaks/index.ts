export { expectNoLeak, LeakError, type Leak } from "./expect-no-leak.ts";
export { takeInventory, type Inventory, type InventoryOptions, type Kind } from "./inventory.ts";
