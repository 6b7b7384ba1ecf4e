/**
 * Set-up of every test file: property tests use the run's seed, and more cases in the full run. The seed
 * comes from the test command; without one, fast-check chooses and prints its own.
 */
import fc from "fast-check";

const seed = Number(process.env["WRENN_TEST_SEED"] ?? "");
const full = process.env["WRENN_TEST_FULL"] === "1";

fc.configureGlobal({ ...(seed === 0 || Number.isNaN(seed) ? {} : { seed }), ...(full ? { numRuns: 2_000 } : {}) });
