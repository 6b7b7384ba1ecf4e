import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { copyServer } from "./binaries.ts";

let directory: string;
beforeEach(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), "postgres-binaries-"));
});
afterEach(async () => {
  await fs.rm(directory, { recursive: true });
});

describe("copyServer", () => {
  it("makes the symbolic links that npm did not, keeps those that are there, leaves out what is for building", async () => {
    const native = join(directory, "native");
    for (const part of ["bin", "lib/pkgconfig", "share"]) await fs.mkdir(join(native, part), { recursive: true });
    await fs.writeFile(join(native, "bin/postgres"), "binary", { mode: 0o700 });
    await fs.writeFile(join(native, "lib/libpq.so.5.18"), "library", { mode: 0o600 });
    await fs.writeFile(join(native, "lib/libpq.a"), "");
    await fs.symlink("libpq.so.5.18", join(native, "lib/libpq.so.5"));
    const links = ["libpq.so", "libpq.so.5"].map((name) => ({
      source: "native/lib/libpq.so.5.18",
      target: `native/lib/${name}`,
    }));
    await fs.writeFile(join(native, "pg-symlinks.json"), JSON.stringify(links));

    const target = join(directory, "server");
    await fs.mkdir(target, { mode: 0o700 });
    await copyServer(native, target);

    expect(await fs.readFile(join(target, "lib/libpq.so"), "utf8")).toBe("library");
    expect(await fs.readlink(join(target, "lib/libpq.so.5"))).toBe("libpq.so.5.18");
    expect((await fs.readdir(join(target, "lib"))).sort()).toEqual(["libpq.so", "libpq.so.5", "libpq.so.5.18"]);
    expect((await fs.stat(join(target, "bin/postgres"))).mode & 0o777).toBe(0o755);
    expect((await fs.stat(join(target, "lib/libpq.so.5.18"))).mode & 0o777).toBe(0o644);
    expect((await fs.stat(target)).mode & 0o777).toBe(0o755);
  });
});
