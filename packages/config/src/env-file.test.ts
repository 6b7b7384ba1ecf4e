import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { withEnvFile } from "./env-file.ts";

let directory: string;
beforeEach(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), "env-file-"));
});
afterEach(async () => await fs.rm(directory, { recursive: true }));

it("adds what the environment does not say", async () => {
  const file = join(directory, ".env");
  await fs.writeFile(file, "# secrets\nA=file\nB='two words'\nexport C=3\n");
  expect(withEnvFile({ A: "environment" }, file)).toEqual({ A: "environment", B: "two words", C: "3" });
});

it("does not mind a file that is not there", () => {
  expect(withEnvFile({ A: "1" }, join(directory, ".env"))).toEqual({ A: "1" });
});
