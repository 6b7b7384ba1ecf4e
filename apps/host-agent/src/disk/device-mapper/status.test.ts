import { expect, it } from "vitest";
import { parseStatus } from "./status.ts";

it("reads what the kernel says of a snapshot", () => {
  expect(parseStatus("0 65536 snapshot 16/131352 16\n")).toEqual({
    state: "valid",
    usedBytes: 16 * 512,
    totalBytes: 131_352 * 512,
  });
  expect(parseStatus("0 65536 snapshot Invalid")).toEqual({ state: "invalid" });
  expect(parseStatus("0 65536 snapshot Overflow")).toEqual({ state: "overflow" });
});

it.each(["", "0 65536 linear", "0 65536 snapshot Unknown", "garbage"])("does not take %j for one", (line) => {
  expect(() => parseStatus(line)).toThrow("Cannot read the status");
});
