import { defineConfig } from "vitest/config";
import { patient } from "./tests/config.ts";

/**
 * Four kinds of test, told apart by their file names:
 *   x.test.ts       pure, any user, runs in parallel (`npm run check`)
 *   x.host.test.ts  real kernel interfaces or a real database; needs root, one file at a time
 *   x.vm.test.ts    real virtual machines; needs root and the built guest, one file at a time,
 *                   with the leak gate after every test
 *   x.nested.test.ts  what needs device-mapper or KVM; in the testbed, one file at a time
 */
const everywhere = ["**/node_modules/**", "target/**"];
const setupFiles = ["./tools/test/property-tests.ts"];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          setupFiles,
          include: ["**/*.test.ts"],
          exclude: [...everywhere, "**/*.host.test.ts", "**/*.vm.test.ts", "**/*.nested.test.ts"],
        },
      },
      {
        test: {
          name: "host",
          setupFiles,
          include: ["**/*.host.test.ts"],
          exclude: everywhere,
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: "vm",
          setupFiles,
          include: ["**/*.vm.test.ts"],
          exclude: everywhere,
          fileParallelism: false,
          testTimeout: patient(180_000),
          hookTimeout: patient(300_000),
        },
      },
      {
        test: {
          name: "nested",
          setupFiles,
          include: ["**/*.nested.test.ts"],
          exclude: everywhere,
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
