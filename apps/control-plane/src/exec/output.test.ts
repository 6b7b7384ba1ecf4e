import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeOutput, OutputBuffer } from "./output.ts";

describe("OutputBuffer", () => {
  it("keeps the first bytes up to its limit and tells whether there were more", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20 })), fc.nat(60), (parts, limit) => {
        const buffer = new OutputBuffer(limit);
        for (const part of parts) buffer.push(part);
        const all = Buffer.concat(parts);
        expect(buffer.truncated).toBe(all.length > limit);
        const kept = buffer.bytes();
        expect(kept).toEqual(all.subarray(0, kept.length));
        expect(kept.length).toBeGreaterThanOrEqual(buffer.truncated ? limit - 3 : all.length);
      }),
    );
  });

  it("does not make text binary by cutting a character", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.nat(60), (text, limit) => {
        const buffer = new OutputBuffer(limit);
        buffer.push(Buffer.from(text));
        const { stdout, encoding } = encodeOutput(buffer.bytes(), Buffer.alloc(0));
        expect(encoding).toBe("utf-8");
        expect(text.startsWith(stdout)).toBe(true);
      }),
    );
  });
});

describe("encodeOutput()", () => {
  it("loses nothing, whatever the bytes are", () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
        const { stdout, stderr, encoding } = encodeOutput(Buffer.from(a), Buffer.from(b));
        expect(Buffer.from(stdout, encoding)).toEqual(Buffer.from(a));
        expect(Buffer.from(stderr, encoding)).toEqual(Buffer.from(b));
      }),
    );
  });
});
