import { describe, expect, it } from "vitest";
import { hashPassword, needsNewHash, verifyPassword } from "./password.ts";

// a hash costs a tenth of a second of a processor that others may want
describe("passwords", { timeout: 60_000 }, () => {
  it("are stored as argon2id PHC strings, each with a salt of its own", async () => {
    const [first, second] = await Promise.all([hashPassword("secret"), hashPassword("secret")]);
    expect(first).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(second).not.toBe(first);
    expect(needsNewHash(first)).toBe(false);
    expect(needsNewHash(first.replace("t=2", "t=1"))).toBe(true);
  });

  it("match themselves only, however they were typed, and never nobody's", async () => {
    const stored = await hashPassword("Zo\u00eb");
    expect(await verifyPassword("Zoe\u0308", stored)).toBe(true);
    expect(await verifyPassword("Zoe", stored)).toBe(false);
    expect(await verifyPassword("", undefined)).toBe(false);
  });

  it("are compared with a hash of another cost, as of the reference implementation", async () => {
    // the known answer for "password" and "somesalt" with 2^16 KiB
    const stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    expect(await verifyPassword("password", stored)).toBe(true);
    expect(await verifyPassword("Password", stored)).toBe(false);
  });

  it("do not wait without end", async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 80 }, () => hashPassword("x")));
    const refused = outcomes.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
    expect(refused).toHaveLength(14);
    expect(refused[0]?.reason).toMatchObject({ code: "rate_limited" });
  });
});
