/** The environment of the programs that the test command starts. */
import { delimiter, join } from "node:path";
import { randomInt } from "node:crypto";

/** A platform that the user has up must not be what the tests speak to, or stop. */
const NOT_INHERITED = [
  "WRENN_API_URL",
  "WRENN_API_KEY",
  "WRENN_DIR",
  "WRENN_PORT",
  "WRENN_LISTEN",
  "WRENN_AGENT_SOCKET",
  "DATABASE_URL",
  "RUSTFLAGS",
  "CARGO_TARGET_DIR",
  "CARGO_BUILD_TARGET",
  "NODE_OPTIONS",
];

/** The seed of the property tests: the one that was asked for, or a new one. */
export function chooseSeed(env: NodeJS.ProcessEnv = process.env): number {
  const wanted = Number(env["WRENN_TEST_SEED"]);
  return Number.isSafeInteger(wanted) && wanted !== 0 ? wanted : randomInt(1, 2 ** 31);
}

export function testEnvironment(
  options: { root: string; seed: number; full: boolean },
  own: NodeJS.ProcessEnv = process.env,
): Record<string, string> {
  const { root, seed, full } = options;
  const env = Object.fromEntries(
    Object.entries(own).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  for (const name of NOT_INHERITED) delete env[name];
  return {
    ...env,
    // our own Node first, and the tools of node_modules; cargo where rustup puts it
    PATH: [join(root, "node_modules/.bin"), env["PATH"] ?? "", join(env["HOME"] ?? "/root", ".cargo/bin")].join(
      delimiter,
    ),
    WRENN_TEST_SEED: String(seed),
    WRENN_TEST_FULL: full ? "1" : "",
  };
}
