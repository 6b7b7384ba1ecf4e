export { ensureTestbed, type TestbedImage } from "./ensure-testbed.ts";
export { CHECKOUT, EXCHANGE_MOUNT } from "./paths.ts";
export { runInTestbed, type TestbedEnd, type TestbedOptions } from "./run-in-testbed.ts";
export type { ScratchFileSystem } from "./scratch-disk.ts";
