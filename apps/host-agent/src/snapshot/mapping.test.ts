import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeHeader, encodeHeader, BLOCK_BYTES } from "./header.ts";
import { bytesBeyond, lookUp, overlay, validate, wholeMapping, type Mapping, type MemoryRun } from "./mapping.ts";

const PAGES = 64;
const SIZE = PAGES * BLOCK_BYTES;

/** The naive model: who holds each page, and where. */
type Model = { build: string | undefined; storageOffset: number }[];

/** Per page: untouched, zeroed or written; as sorted runs, cut at random places too. */
const touched = fc.array(fc.constantFrom("clean", "clean", "zero", "data", "cut"), {
  minLength: PAGES,
  maxLength: PAGES,
});

function runsOf(pages: string[]): MemoryRun[] {
  const runs: MemoryRun[] = [];
  for (const [page, what] of pages.entries()) {
    if (what === "clean") continue;
    const offset = page * BLOCK_BYTES;
    const zero = what === "zero";
    const last = runs.at(-1);
    const joins =
      what !== "cut" &&
      last !== undefined &&
      last.offset + last.length === offset &&
      (last.storageOffset === undefined) === zero;
    if (joins) last.length += BLOCK_BYTES;
    else runs.push({ offset, length: BLOCK_BYTES, storageOffset: zero ? undefined : offset });
  }
  return runs;
}

function applyToModel(model: Model, build: string, pages: string[]): Model {
  return model.map((holder, page) => {
    const what = pages[page];
    if (what === "clean") return holder;
    return what === "zero" ? { build: undefined, storageOffset: 0 } : { build, storageOffset: page * BLOCK_BYTES };
  });
}

function expectSame(mapping: Mapping, model: Model): void {
  const holders = model.map((_, page) => {
    const { build, storageOffset, offset } = lookUp(mapping, page * BLOCK_BYTES);
    return { build, storageOffset: build === undefined ? 0 : storageOffset + page * BLOCK_BYTES - offset };
  });
  expect(holders).toEqual(model);
}

describe("overlay", () => {
  it("gives every page to its last writer, through any number of layers", () => {
    fc.assert(
      fc.property(fc.array(touched, { maxLength: 6 }), (layers) => {
        let mapping: Mapping = wholeMapping("base", SIZE);
        let model: Model = Array.from({ length: PAGES }, (_, page) => ({
          build: "base",
          storageOffset: page * BLOCK_BYTES,
        }));
        for (const [depth, pages] of layers.entries()) {
          mapping = overlay(mapping, `b${depth}`, runsOf(pages));
          model = applyToModel(model, `b${depth}`, pages);
          validate(mapping, SIZE, BLOCK_BYTES);
          expect(mapping.length).toBeLessThanOrEqual(PAGES); // joined, so never one entry per layer
        }
        expectSame(mapping, model);
        expectSame(
          decodeHeader(encodeHeader({ size: SIZE, generation: 1, buildId: "x", baseBuildId: "base", mapping })).mapping,
          model,
        );
      }),
    );
  });

  it("takes a zeroed page as data: it does not fall back to the base", () => {
    const mapping = overlay(wholeMapping("base", SIZE), "b0", [
      { offset: BLOCK_BYTES, length: BLOCK_BYTES, storageOffset: undefined },
    ]);
    expect(lookUp(mapping, BLOCK_BYTES).build).toBeUndefined();
    expect(bytesBeyond(mapping, "base")).toBe(BLOCK_BYTES);
  });
});

describe("decodeHeader", () => {
  const header = encodeHeader({
    size: SIZE,
    generation: 3,
    buildId: "layer_a",
    baseBuildId: "gold_b",
    mapping: wholeMapping("gold_b", SIZE),
  });

  it("returns what was written", () => {
    expect(decodeHeader(header)).toMatchObject({
      size: SIZE,
      generation: 3,
      buildId: "layer_a",
      baseBuildId: "gold_b",
    });
  });

  it("refuses every single changed byte", () => {
    fc.assert(
      fc.property(fc.nat(header.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const broken = Buffer.from(header);
        broken[at] = (broken[at] as number) ^ change;
        expect(() => decodeHeader(broken)).toThrow(/Cannot read the memory/);
      }),
    );
  });

  it("refuses any other bytes without reading outside of them", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (tail) => {
        const bytes = Buffer.concat([header.subarray(0, 16), tail]);
        expect(() => decodeHeader(bytes)).toThrow(/Cannot read the memory/);
      }),
    );
  });
});
