import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Utf8Chunks } from "./utf8-chunks.ts";

describe("Utf8Chunks", () => {
  // oxlint-disable-next-line vitest/expect-expect -- fc.assert
  it("gives back any text, cut anywhere, and counts what it holds", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme", maxLength: 40 }),
        fc.array(fc.nat(16), { maxLength: 20 }),
        (text, cuts) => {
          const bytes = Buffer.from(text, "utf8");
          const chunks = new Utf8Chunks();
          let shown = "";
          let at = 0;
          for (const cut of [...cuts, bytes.length]) {
            const chunk = bytes.subarray(at, at + cut);
            at += chunk.length;
            const { text: part, heldBytes } = chunks.push(chunk);
            shown += part;
            if (Buffer.byteLength(shown) + heldBytes !== at) return false;
          }
          return shown + chunks.end() === bytes.toString("utf8");
        },
      ),
    );
  });

  it("does not hold what can never become a character", () => {
    const chunks = new Utf8Chunks();
    expect(chunks.push(Buffer.from([0x61, 0xff]))).toEqual({ text: "a\uFFFD", heldBytes: 0 });
    expect(chunks.push(Buffer.from([0xc3]))).toEqual({ text: "", heldBytes: 1 });
    expect(chunks.end()).toBe("\uFFFD");
  });
});
