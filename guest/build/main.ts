/**
 * For developers and tests: `node guest/build/main.ts --dir DIR [--envd PATH]` builds the guest below
 * DIR and prints its manifest.
 */
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { WrennError } from "@wrenn/errors";
import { ensureGuest } from "./ensure-guest.ts";
import { progressFor } from "./progress.ts";
import { GUEST_SOURCES } from "./recipe.ts";

const { values } = parseArgs({
  options: {
    dir: { type: "string", default: "/var/lib/wrenn" },
    envd: { type: "string", default: join(GUEST_SOURCES, "../target/x86_64-unknown-linux-gnu/release/envd") },
  },
});

const canceled = new AbortController();
// `on`, not `once`: execa's own listener ends the process when it finds itself alone.
for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => canceled.abort());

try {
  const manifest = await ensureGuest({
    stateDirectory: resolve(values.dir),
    envdPath: resolve(values.envd),
    progress: progressFor(process.stderr),
    signal: canceled.signal,
  });
  process.stdout.write(`${JSON.stringify(manifest, null, 2)}\n`);
} catch (thrown) {
  const error = WrennError.from(thrown);
  process.stderr.write(`${error.message}\n${error.hint === undefined ? "" : `${error.hint}\n`}`);
  process.exitCode = 1;
}
