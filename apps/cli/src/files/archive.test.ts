import { mkdir, mkdtemp, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { pack, unpack } from "./archive.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-archive-"));
});
afterEach(() => rm(directory, { recursive: true }));

/** As they come over the network. */
async function* plain(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) yield new Uint8Array(chunk);
}

it("packs a directory, and unpacks what stays in it", async () => {
  const [from, to] = [join(directory, "from"), join(directory, "to")];
  await mkdir(join(from, "below"), { recursive: true });
  await writeFile(join(from, "below", "file"), "x".repeat(200_000), { mode: 0o750 });
  await symlink("below/file", join(from, "link"));
  await symlink("/etc/passwd", join(from, "out"));
  expect(await unpack(plain(pack(from)), to)).toEqual([expect.stringContaining("which leads out of the directory")]);
  expect(await readFile(join(to, "link"), "utf8")).toBe("x".repeat(200_000));
  expect([await readlink(join(to, "link")), (await stat(join(to, "below", "file"))).mode & 0o777]).toEqual([
    "below/file",
    0o750,
  ]);
});
