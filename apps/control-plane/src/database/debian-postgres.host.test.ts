/** What works on the embedded server works on the oldest that is supported: Debian 12's PostgreSQL 15. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { run } from "@wrenn/effects";

const BINARIES = "/usr/lib/postgresql/15/bin";
const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
/** Suites whose subject is what the database does. */
const SUITES = [
  "database/migrate.host",
  "auth/first-start.host",
  "auth/accounts.host",
  "quotas/quotas.host",
  "sandboxes/sandbox-store.host",
].map((suite) => `apps/control-plane/src/${suite}`);
const DEADLINE_MS = 400_000;

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
