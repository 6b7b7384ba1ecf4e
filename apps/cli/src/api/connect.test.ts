import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readConfig } from "../config.ts";
import { connect, findKey } from "./connect.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-connect-"));
  await mkdir(join(directory, "secrets"));
});
afterEach(() => rm(directory, { recursive: true }));

const configOf = (env: NodeJS.ProcessEnv) =>
  readConfig({ WRENN_DIR: directory, HOME: directory, WRENN_API_KEY: "", WRENN_API_URL: "", ...env });

describe("findKey()", () => {
  it("reads the key of this machine's platform", async () => {
    await writeFile(join(directory, "secrets", "api-key.json"), '{"api_key":"wrn_k"}');
    expect(await findKey(configOf({}))).toBe("wrn_k");
  });

  it("says that there is none, or that its file is damaged", async () => {
    await expect(findKey(configOf({}))).rejects.toMatchObject({ code: "unavailable" });
    await writeFile(join(directory, "secrets", "api-key.json"), '{"api_');
    await expect(findKey(configOf({}))).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("damaged"),
      hint: expect.stringContaining("another key"),
    });
  });
});

describe("connect()", () => {
  it("refuses a URL where no platform can be", async () => {
    const config = configOf({ WRENN_API_KEY: "wrn_k", WRENN_API_URL: "localhost:7780" });
    await expect(connect(config)).rejects.toMatchObject({
      code: "invalid_request",
      message: expect.stringContaining("localhost:7780"),
    });
  });
});
