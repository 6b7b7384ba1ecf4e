import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { hashApiKey, mintApiKey } from "./api-key.ts";

describe("hashApiKey()", () => {
  it("gives the SHA-256 of the key as it was shown, for either prefix", () => {
    const { key, hash, prefix } = mintApiKey();
    expect(key).toMatch(/^wrn_[0-9a-f]{32}$/);
    expect(prefix).toBe(key.slice(0, 10));
    expect(hash).toEqual(createHash("sha256").update(key).digest());
    expect(hashApiKey(key)).toEqual(hash);
    expect(hashApiKey(key.replace("wrn_", "e2b_"))).toEqual(hash);
  });

  it.each([
    "",
    "wrn_",
    `wrn_${"A".repeat(32)}`,
    `wrn_${"0".repeat(31)}`,
    `wrn_${"0".repeat(33)}`,
    `abc_${"0".repeat(32)}`,
    `wrn_${"0".repeat(32)}\n`,
  ])("refuses %j", (text) => expect(hashApiKey(text)).toBeUndefined());
});
