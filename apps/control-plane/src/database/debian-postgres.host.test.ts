/**
 * What works on the embedded server works on the oldest that is supported: Debian 12's PostgreSQL 15. By default the suites
 * whose subject is what the database does; in the full run all of the control plane's.
 */
import { existsSync, globSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { run } from "@wrenn/effects";

const BINARIES = "/usr/lib/postgresql/15/bin";
const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
const SOURCES = "apps/control-plane/src";
const full = process.env["WRENN_TEST_FULL"] === "1";
const SUITES = full
  ? globSync(`${SOURCES}/**/*.host.test.ts`, { cwd: ROOT }).filter((suite) => !import.meta.filename.endsWith(suite))
  : [
      "database/migrate",
      "auth/first-start",
      "auth/accounts",
      "auth/key-revocation",
      "events/events",
      "quotas/quotas",
      "sandboxes/sandbox-store",
      "snapshots/snapshots",
    ].map((suite) => `${SOURCES}/${suite}.host.test.ts`);
const DEADLINE_MS = full ? 1_200_000 : 400_000;

const isThere = existsSync(BINARIES);
if (!isThere) process.stdout.write(`skipped: there is no PostgreSQL 15 in ${BINARIES}\n`);

it.runIf(isThere)("runs the database suites on PostgreSQL 15", { timeout: DEADLINE_MS }, async () => {
  const { stdout } = await run([`${ROOT}node_modules/.bin/vitest`, "run", "--project", "host", ...SUITES], {
    cwd: ROOT,
    env: { PATH: process.env["PATH"] ?? "", NO_COLOR: "1", WRENN_TEST_POSTGRES: BINARIES },
    timeoutMs: DEADLINE_MS,
  });
  expect(stdout).toMatch(new RegExp(`Test Files {2}${SUITES.length} passed`));
});
