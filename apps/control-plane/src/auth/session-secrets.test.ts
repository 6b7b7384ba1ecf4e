import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readConfig } from "../config.ts";
import { ensureSecrets, parseSecrets } from "./session-secrets.ts";
import { SessionTokens } from "./session-token.ts";

const OLD = "old-".repeat(8);
const NEW = "new-".repeat(8);
const CLAIMS = { userId: "usr_x", email: "a@b", teamId: "team_x", epoch: 1 };
let directory: string;

beforeEach(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), "session-secrets-"));
});
afterEach(async () => await fs.rm(directory, { recursive: true }));

describe("secrets of sessions", () => {
  it("are made once, also by two that start together, and only root can read them", async () => {
    const file = join(directory, "secrets", "jwt-secret");
    const [first, second] = await Promise.all([ensureSecrets(file), ensureSecrets(file)]);
    expect(second).toEqual(first);
    expect(await ensureSecrets(file)).toEqual(first);
    expect((await fs.stat(file)).mode & 0o777).toBe(0o600);
  });

  it("can be changed: the new one signs, the old one verifies until it is taken away", async () => {
    const [before, during, after] = [OLD, `${NEW},${OLD}`, NEW].map(
      (text) => new SessionTokens(parseSecrets(text, "the test")),
    ) as [SessionTokens, SessionTokens, SessionTokens];
    const old = (await before.sign(CLAIMS)).token;
    const fresh = (await during.sign(CLAIMS)).token;
    expect(await during.verify(old)).toMatchObject(CLAIMS);
    expect(await after.verify(fresh)).toMatchObject(CLAIMS);
    expect(await after.verify(old)).toBeUndefined();
    expect(await before.verify(fresh)).toBeUndefined();
  });

  it("are refused when they are too short, and have to be given in production", () => {
    expect(() => parseSecrets("x".repeat(31), "WRENN_JWT_SECRET")).toThrow("less than 32 characters");
    expect(() => readConfig({ WRENN_MODE: "production" })).toThrow("WRENN_JWT_SECRET is not set");
    expect(readConfig({ WRENN_MODE: "production", WRENN_JWT_SECRET: NEW }).sessionSecrets).toHaveLength(1);
  });
});
