import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cutPage, decodeCursor, encodeCursor } from "./cursor.ts";

const time = fc
  .tuple(fc.integer({ min: 0, max: 4_102_444_800 }), fc.integer({ min: 0, max: 999_999 }))
  .map(
    ([seconds, micros]) =>
      `${new Date(seconds * 1_000).toISOString().slice(0, 19)}.${String(micros).padStart(6, "0")}Z`,
  );
const id = fc.stringMatching(/^(sb|tpl_|key_)[0-9a-z]{20}$/);

describe("decodeCursor()", () => {
  it("reads what encodeCursor() wrote, to the microsecond", () => {
    fc.assert(
      fc.property(time, id, (createdAt, row) => {
        expect(decodeCursor(encodeCursor({ createdAt, id: row }))).toEqual({ createdAt, id: row });
      }),
    );
  });

  it("refuses anything else as a mistake of the caller", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => decodeCursor(text)).toThrow(expect.objectContaining({ code: "invalid_request" }));
      }),
    );
  });

  it.each(["2026-13-45T99:00:00", "2026-02-30T00:00:00", "2026-01-01T24:00:00", "0000-01-01T00:00:00"])(
    "refuses %s, which is no time to the database",
    (time) => {
      const cursor = encodeCursor({ createdAt: `${time}.000000Z`, id: "sb00000000000000000000" });
      expect(() => decodeCursor(cursor)).toThrow(expect.objectContaining({ code: "invalid_request" }));
    },
  );
});

describe("cutPage()", () => {
  it("gives a cursor only while more follows", () => {
    const rows = [1, 2, 3].map((n) => ({ id: `sb0000000000000000000${n}`, created_at: "2026-11-22T00:00:00.000001Z" }));
    expect(cutPage(rows, 3)).toEqual({ page: rows, next: undefined });
    const { page, next } = cutPage(rows, 2);
    expect(page).toEqual(rows.slice(0, 2));
    expect(decodeCursor(next ?? "")).toEqual({
      createdAt: "2026-11-22T00:00:00.000001Z",
      id: "sb00000000000000000002",
    });
    expect(cutPage([], 5)).toEqual({ page: [], next: undefined });
  });
});
