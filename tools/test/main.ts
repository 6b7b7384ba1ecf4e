/** The test command without the CLI, for npm scripts: `node tools/test/main.ts check unit`. */
import { runTests } from "./run-tests.ts";

const stopping = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stopping.abort());
const only = process.argv.slice(2);
process.exitCode = await runTests({ ...(only.length === 0 ? {} : { only }), signal: stopping.signal });
