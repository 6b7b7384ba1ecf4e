/** Where the testbed's own files are, outside as inside: its root file system is the machine's. */
import { join } from "node:path";

/** Programs that run inside. */
export const TESTBED_GUEST = join(import.meta.dirname, "../guest");
/** The checkout. */
export const CHECKOUT = join(import.meta.dirname, "../..");
/** Where the exchange directory of a run is mounted inside. */
export const EXCHANGE_MOUNT = "/run/testbed";
/** It measures the TSC; the launcher builds it. */
export const SHIM_PATH = join(CHECKOUT, "target/x86_64-unknown-linux-gnu/release/wrenn-shim");
