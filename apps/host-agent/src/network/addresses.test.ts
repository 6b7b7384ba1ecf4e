import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addressToNumber, LAST_INDEX, numberToAddress, planSlot, vethInterval } from "./addresses.ts";

describe("planSlot()", () => {
  it("gives slot 1 and the last slot the addresses of the architecture", () => {
    expect(planSlot(1, 2_000_000)).toMatchObject({
      namespaceName: "wrenn-1",
      namespacePath: "/run/netns/wrenn-1",
      vethName: "wrn1",
      hostAddress: "10.11.0.1",
      vethAddress: "10.12.0.2",
      peerAddress: "10.12.0.3",
      uid: 2_000_001,
    });
    expect(planSlot(LAST_INDEX, 0)).toMatchObject({
      hostAddress: "10.11.127.255",
      vethAddress: "10.12.255.254",
      peerAddress: "10.12.255.255",
    });
  });

  it("never gives two slots the same name or address", () => {
    const index = fc.integer({ min: 1, max: LAST_INDEX });
    fc.assert(
      fc.property(index, index, (a, b) => {
        fc.pre(a !== b);
        const of = (slot: ReturnType<typeof planSlot>) => [
          slot.namespaceName,
          slot.vethName,
          slot.hostAddress,
          slot.vethAddress,
          slot.peerAddress,
          String(slot.uid),
        ];
        expect(new Set([...of(planSlot(a, 0)), ...of(planSlot(b, 0))]).size).toBe(12);
      }),
    );
  });

  it("refuses an index that has no addresses", () => {
    for (const index of [0, -1, 1.5, LAST_INDEX + 1]) expect(() => planSlot(index, 0)).toThrow(RangeError);
  });

  it("keeps interface names within the kernel's 15 characters", () => {
    expect(planSlot(LAST_INDEX, 0).vethName.length).toBeLessThanOrEqual(15);
  });
});

describe("vethInterval()", () => {
  it("holds the addresses of its slots and no others", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 1, max: 2001 }),
        (first, count, index) => {
          const [from = "", to = ""] = vethInterval(first, count).split("-");
          const { vethAddress, peerAddress } = planSlot(index, 0);
          const isIn = (address: string) =>
            addressToNumber(from) <= addressToNumber(address) && addressToNumber(address) <= addressToNumber(to);
          const expected = index >= first && index < first + count;
          expect([isIn(vethAddress), isIn(peerAddress)]).toEqual([expected, expected]);
        },
      ),
    );
  });
});

describe("numberToAddress()", () => {
  it("is the inverse of addressToNumber()", () => {
    fc.assert(
      fc.property(fc.ipV4(), (address) => {
        expect(numberToAddress(addressToNumber(address))).toBe(address);
      }),
    );
  });

  it("is not given what is no address", () => {
    for (const text of ["", "1.2.3", "1.2.3.256", "1.2.3.x"]) expect(() => addressToNumber(text)).toThrow(RangeError);
  });
});
