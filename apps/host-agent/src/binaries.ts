/** Where the launcher's cargo builds leave the programs that the host agent starts. */
import { join } from "node:path";

const REPOSITORY = join(import.meta.dirname, "../../..");
const RELEASE = "target/x86_64-unknown-linux-gnu/release";

export const SHIM_PATH = join(REPOSITORY, RELEASE, "wrenn-shim");
export const PAGER_PATH = join(REPOSITORY, RELEASE, "wrenn-pager");
export const ENVD_PATH = join(REPOSITORY, RELEASE, "envd");
/** Built apart: a shared library cannot be linked statically as everything else is. */
export const MEMORY_GUARD_PATH = join(REPOSITORY, "crates/memory-guard", RELEASE, "libmemory_guard.so");
