/**
 * Entry of `./wrenn`. Everything else is imported after the compile cache is on, so that a start does
 * not strip and compile the same sources again.
 */
import { enableCompileCache } from "node:module";
import { fileURLToPath } from "node:url";

enableCompileCache(fileURLToPath(new URL("../../../node_modules/.cache/wrenn-cli", import.meta.url)));
const { main } = await import("./program.ts");
process.exitCode = await main(process.argv.slice(2));
