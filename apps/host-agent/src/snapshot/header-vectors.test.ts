import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeHeader, encodeHeader, type MemoryHeader } from "./header.ts";

const vectors = new URL("../../../../crates/pager/tests/vectors/", import.meta.url);

describe("the header that the pager reads and writes too", () => {
  const bytes = readFileSync(new URL("three-builds.mem.header", vectors));
  const said = JSON.parse(readFileSync(new URL("three-builds.json", vectors), "utf8")) as MemoryHeader;

  it("decodes to what it says", () => {
    expect(decodeHeader(bytes)).toEqual(said);
  });

  it("is encoded byte for byte", () => {
    expect(encodeHeader(said).equals(bytes)).toBe(true);
  });
});
