import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { findJailer } from "./jailer.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp("/tmp/wrenn-jailer-");
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** A program that answers `--version` as the jailer does. */
async function install(name: string, says: string, mode = 0o755): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, `#!/bin/sh\necho '${says}'\n`);
  await chmod(path, mode);
  return path;
}

const find = async (jailer?: string) =>
  findJailer(
    jailer,
    { program: join(directory, "firecracker"), version: "1.16.1" },
    directory,
    AbortSignal.timeout(30_000),
  );

it("is the one beside Firecracker, or none", async () => {
  expect(await find()).toBeUndefined();
  const program = await install("jailer", "Jailer v1.16.1");
  expect(await find()).toEqual({ program, lack: undefined });
});

it("is the one that is named, by path or by name", async () => {
  await install("jailer", "Jailer v1.15.0");
  const program = await install("other", "Jailer v1.16.1");
  expect(await find(program)).toEqual({ program, lack: undefined });
  expect(await find("other")).toEqual({ program, lack: undefined });
});

it("is refused, not left out, when it cannot be used", async () => {
  const missing = join(directory, "missing");
  expect(await find(missing)).toEqual({ program: missing, lack: "it is not a program that is installed" });
  await install("jailer", "Jailer v1.16.1", 0o644);
  expect(await find()).toMatchObject({ lack: "it is not a program that is installed" });
  await install("jailer", "Jailer v1.15.0");
  expect(await find()).toMatchObject({ lack: "it is of 1.15.0, and Firecracker of 1.16.1" });
  await install("jailer", "usage: jailer");
  expect(await find()).toMatchObject({ lack: "it does not tell its version" });
});
