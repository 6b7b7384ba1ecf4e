/** The commands about accounts, as people use them: a real control plane and database, no host agent. */
import * as fs from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestServer } from "../../apps/control-plane/src/database/test-database.ts";
import { startTestApp, type TestApp } from "../../apps/control-plane/src/test-app.ts";
import { WrennError } from "../../packages/errors/src/index.ts";
import { run } from "../../packages/effects/src/index.ts";

const MAIN = fileURLToPath(new URL("../../apps/cli/src/main.ts", import.meta.url));
const PASSWORD = "correct horse battery staple\n";

let server: TestServer;
let test: TestApp;
let url: string;
let directory: string;

beforeAll(async () => {
  server = await TestServer.start();
  test = await startTestApp(await server.newDatabase(), { WRENN_SIGNUP: "invitation" });
  await test.app.listen({ port: 0, host: "127.0.0.1" });
  url = `http://127.0.0.1:${(test.app.server.address() as AddressInfo).port}`;
  directory = await fs.mkdtemp(join(tmpdir(), "accounts-cli-"));
});
afterAll(async () => {
  await test.stop();
  await server.stop();
  await fs.rm(directory, { recursive: true });
});

/** Runs a command as the user `name`, who has a home of their own. */
async function wrenn(name: string, args: string[], options: { input?: string; env?: Record<string, string> } = {}) {
  const home = join(directory, name);
  await fs.mkdir(home, { recursive: true });
  const env = {
    PATH: process.env["PATH"] ?? "",
    HOME: home,
    WRENN_DIR: join(home, "no-platform"),
    WRENN_API_URL: url,
    ...options.env,
  };
  const { stdout } = await run([process.execPath, MAIN, ...args], {
    env,
    ...(options.input === undefined ? {} : { input: options.input }),
  });
  return stdout.trim();
}

/** The last words of a command that fails. */
const refusal = async (...given: Parameters<typeof wrenn>) =>
  await wrenn(...given).then(
    (text) => `it did not fail: ${text}`,
    (error: unknown) => WrennError.from(error).message,
  );

const asOperator = async (...args: string[]) => await wrenn("root", args, { env: { WRENN_API_KEY: test.apiKey } });

describe("the commands about accounts", { timeout: 180_000 }, () => {
  it("let somebody in, up and out again", async () => {
    expect(await refusal("ada", ["team", "list"])).toContain("log in");
    expect(await refusal("ada", ["login", "--sign-up", "ada@example.org"], { input: PASSWORD })).toContain(
      "needs an invitation",
    );
    const token = await asOperator("team", "invite", "ada@example.org", "--role", "admin");
    expect(
      await wrenn("ada", ["login", "--sign-up", "ada@example.org", "--invitation", token], { input: PASSWORD }),
    ).toBe(`Logged in at ${url} as ada@example.org, team ${test.teamId}`);
    const file = join(directory, "ada/.config/wrenn/session.json");
    expect((await fs.stat(file)).mode & 0o777).toBe(0o600);

    expect(await wrenn("ada", ["team", "members"])).toMatch(/ada@example\.org +admin/);
    const key = await wrenn("ada", ["key", "create", "ci", "--expires", "1h"]);
    expect(key).toMatch(/^wrn_[0-9a-f]{32}$/);
    expect(await wrenn("ci", ["sandbox", "list"], { env: { WRENN_API_KEY: key } })).toBe("No sandboxes");
    const keys = JSON.parse(await wrenn("ada", ["key", "list", "--json"])) as { id: string; name: string }[];
    const made = keys.find(({ name }) => name === "ci")?.id ?? "";
    expect(await wrenn("ada", ["key", "rm", made])).toBe(made);
    expect(await refusal("ci", ["sandbox", "list"], { env: { WRENN_API_KEY: key } })).toContain("API key");

    const team = await wrenn("ada", ["team", "create", "Birds"]);
    await wrenn("ada", ["team", "switch", team]);
    await wrenn("ada", ["team", "rename", "Wrens"]);
    expect(await wrenn("ada", ["team", "list"])).toMatch(new RegExp(`\\* +${team} +Wrens +owner`));
    expect(await asOperator("team", "quota", "--sandboxes", "5", "--team", team)).toMatch(/running_sandboxes +0 +5/);
    expect(await refusal("ada", ["team", "quota", "--sandboxes", "9"])).toContain("platform:write");
    expect(await wrenn("ada", ["team", "audit"])).toMatch(/ada@example\.org +team\.rename/);

    expect(await asOperator("team", "remove", "Ada@example.org")).toBe("Ada@example.org");
    expect(await refusal("ada", ["team", "switch", test.teamId])).toContain("Cannot find team");
    expect(await wrenn("ada", ["logout"])).toBe(`Logged out at ${url}`);
    await expect(fs.stat(file)).rejects.toMatchObject({ code: "ENOENT" });
    expect(await wrenn("ada", ["logout"])).toBe("Nobody is logged in");
    expect(await refusal("ada", ["login", "ada@example.org"], { input: "wrong\n" })).toContain("password is wrong");
  });
});
