import { describe, expect, it } from "vitest";
import { cpioArchive } from "./cpio.ts";

/** What a reader of the `newc` format finds. */
function read(archive: Buffer): { path: string; mode: number; content: string; links: number }[] {
  const entries = [];
  for (let at = 0; ;) {
    expect(at % 4).toBe(0);
    const header = archive.toString("latin1", at, at + 110);
    expect(header.slice(0, 6)).toBe("070701");
    const field = (index: number) => Number.parseInt(header.slice(6 + index * 8, 14 + index * 8), 16);
    const nameEnd = at + 110 + field(11);
    const path = archive.toString("utf8", at + 110, nameEnd - 1);
    expect(archive[nameEnd - 1]).toBe(0);
    if (path === "TRAILER!!!") return entries;
    const start = (nameEnd + 3) & ~3;
    entries.push({ path, mode: field(1), links: field(4), content: archive.toString("utf8", start, start + field(6)) });
    at = (start + field(6) + 3) & ~3;
  }
}

describe("cpioArchive()", () => {
  it("holds directories and files of any length", () => {
    const files = ["", "a", "abcd", "abcde"].map((text, index) => ({
      path: `bin/${"x".repeat(index + 1)}`,
      mode: 0o755,
      content: Buffer.from(text),
    }));
    expect(read(cpioArchive([{ path: "bin", mode: 0o700 }, ...files]))).toEqual([
      { path: "bin", mode: 0o040700, links: 2, content: "" },
      ...files.map(({ path, content }) => ({ path, mode: 0o100755, links: 1, content: content.toString() })),
    ]);
  });

  it("gives equal bytes for equal entries", () => {
    const entries = [{ path: "init", mode: 0o755, content: Buffer.from("#!") }];
    expect(cpioArchive(entries).equals(cpioArchive(entries))).toBe(true);
  });
});
