import { describe, expect, it } from "vitest";
import { formatBytes, formatDuration, parseInteger, parseMebibytes, parseSeconds } from "./units.ts";

describe("parseMebibytes()", () => {
  it.each([
    ["512", 512],
    ["512M", 512],
    ["2G", 2048],
    ["1.5 GiB", 1536],
  ])("reads %s", (text, value) => expect(parseMebibytes(text)).toBe(value));

  it.each(["", "x", "-1", "1.3M", "2T", "0x10", "1e3"])("refuses %j", (text) =>
    expect(() => parseMebibytes(text)).toThrow(/as a size/),
  );
});

describe("parseSeconds()", () => {
  it.each([
    ["0", 0],
    ["90", 90],
    ["90s", 90],
    ["5m", 300],
    ["1.5h", 5_400],
    ["1d", 86_400],
  ])("reads %s", (text, value) => expect(parseSeconds(text)).toBe(value));

  it.each(["", "soon", "-5", "1.5", "5 weeks"])("refuses %j", (text) =>
    expect(() => parseSeconds(text)).toThrow(/as a time/),
  );
});

describe("parseInteger()", () => {
  it("reads whole numbers only", () => {
    expect(parseInteger("12")).toBe(12);
    for (const text of ["", "1.5", "-1", "1e3", "two"]) expect(() => parseInteger(text)).toThrow(/whole number/);
  });
});

describe("formatBytes()", () => {
  it.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1536, "1.5 KiB"],
    [5 * 1024 ** 3, "5 GiB"],
    [123.4 * 1024 ** 3, "123 GiB"],
  ])("%d is %s", (bytes, text) => expect(formatBytes(bytes)).toBe(text));
});

describe("formatDuration()", () => {
  it.each([
    [12, "12 ms"],
    [12_000, "12 s"],
    [60_000, "1 m"],
    [200_000, "3 m 20 s"],
    [7_200_000 + 5_000, "2 h"],
    [3 * 86_400_000 + 4 * 3_600_000, "3 d 4 h"],
  ])("%d ms is %s", (milliseconds, text) => expect(formatDuration(milliseconds)).toBe(text));
});
