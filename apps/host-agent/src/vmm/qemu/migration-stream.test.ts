import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { joinStreams } from "./migration-stream.ts";

const PAGE = 4096;
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
};
const name = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);

/** A stream as QEMU writes it: header, configuration, ram setup, ram pages, devices. */
function baseStream(records: Buffer[]): Buffer {
  const blocks = Buffer.concat([
    u64(BigInt(512 * 1024 + 2 * PAGE) | 0x04n),
    ...[
      ["ram", 512 * 1024],
      ["pc.bios", 2 * PAGE],
    ].flatMap(([block, size]) => [name(String(block)), u64(BigInt(size as number)), u64(0n)]),
    u64(0x10n),
  ]);
  const setup = Buffer.concat([
    Buffer.from([1]),
    u32(2),
    name("ram"),
    u32(0),
    u32(4),
    blocks,
    Buffer.from([0x7e]),
    u32(2),
  ]);
  const end = Buffer.concat([Buffer.from([3]), u32(2), ...records, u64(0x10n), Buffer.from([0x7e]), u32(2)]);
  const config = Buffer.concat([Buffer.from([7]), u32(7), Buffer.from("microvm")]);
  return Buffer.concat([Buffer.from("QEVM"), u32(3), config, setup, end, DEVICES]);
}
const DEVICES = Buffer.concat([
  Buffer.from([4]),
  u32(0),
  name("timer"),
  u32(0),
  u32(2),
  Buffer.alloc(24, 7),
  Buffer.from([0x7e]),
  u32(0),
  Buffer.from([0]),
]);
const savedDevices = (fill: number): Buffer => {
  const devices = Buffer.from(DEVICES);
  devices.fill(fill, 20, 40);
  return Buffer.concat([Buffer.from("QEVM"), u32(3), devices]);
};
const bios = (fill: number): Buffer => Buffer.alloc(2 * PAGE, fill);
const pageRecord = (offset: number, flags: bigint, block: string | undefined, body: Buffer): Buffer =>
  Buffer.concat([
    u64(BigInt(offset) | flags | (block === undefined ? 0x20n : 0n)),
    block === undefined ? Buffer.alloc(0) : name(block),
    body,
  ]);

describe("joinStreams", () => {
  const base = baseStream([
    pageRecord(0, 0x08n, "pc.bios", Buffer.alloc(PAGE, 1)),
    pageRecord(PAGE, 0x02n, undefined, Buffer.from([0])),
    pageRecord(0, 0x08n, "/rom@etc/acpi/tables", Buffer.alloc(PAGE, 5)),
  ]);

  it("takes the memory sections of the base, the current firmware and the new devices", () => {
    const joined = joinStreams(base, savedDevices(9), bios(3));
    const expected = baseStream([
      pageRecord(0, 0x08n, "pc.bios", Buffer.alloc(PAGE, 3)),
      pageRecord(PAGE, 0x08n, undefined, Buffer.alloc(PAGE, 3)),
      pageRecord(0, 0x08n, "/rom@etc/acpi/tables", Buffer.alloc(PAGE, 5)),
    ]);
    const prefix = expected.length - DEVICES.length;
    expect(joined.subarray(0, prefix)).toEqual(expected.subarray(0, prefix));
    expect(joined.subarray(prefix)).toEqual(savedDevices(9).subarray(8));
  });

  it("can join again on what it made, any number of times", () => {
    let state = base;
    for (let generation = 1; generation < 5; generation++)
      state = joinStreams(state, savedDevices(generation), bios(generation));
    expect(state).toEqual(joinStreams(base, savedDevices(4), bios(4)));
  });

  it("passes on what QEMU says between sections, as version 10 does", () => {
    const at = base.indexOf(Buffer.concat([Buffer.from([3]), u32(2)])); // before the last part of the memory
    const command = Buffer.from([8, 0, 11, 0, 2, 0xab, 0xcd]);
    const talking = Buffer.concat([base.subarray(0, at), command, base.subarray(at)]);
    const joined = joinStreams(base, savedDevices(9), bios(3));
    const expected = Buffer.concat([joined.subarray(0, at), command, joined.subarray(at)]);
    expect(joinStreams(talking, savedDevices(9), bios(3))).toEqual(expected);
  });

  it("refuses a truncated or foreign stream with an error, never by a crash", () => {
    fc.assert(
      fc.property(fc.nat(base.length - DEVICES.length - 1), (length) => {
        expect(() => joinStreams(base.subarray(0, length), savedDevices(1), bios(1))).toThrow(
          /Cannot read the device state/,
        );
      }),
    );
    expect(() => joinStreams(base, Buffer.from("QEVM"), bios(1))).toThrow(/Cannot read the device state/);
  });
});
