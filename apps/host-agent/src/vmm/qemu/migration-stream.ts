/**
 * QEMU's migration stream, as far as joining two of them needs it.
 *
 * `xen-save-devices-state` writes only device sections: without the configuration and `ram` sections
 * that `-incoming` wants. They are taken from the state that the VM was restored from; in them the
 * contents of `pc.bios` (guest-writable on microvm, and not filled by QEMU with -incoming) are
 * replaced by the current ones. Layout: QEMU `migration/savevm.c`, `migration/ram.c`.
 */
import { WrennError } from "@wrenn/errors";

const MAGIC = 0x5145564d; // "QEVM"
const SECTION_START = 0x01;
const SECTION_PART = 0x02;
const SECTION_END = 0x03;
const SECTION_FULL = 0x04;
/** What QEMU tells the other side between sections, since 10.0: a number, a length, and so many bytes. */
const COMMAND = 0x08;
const SECTION_FOOTER = 0x7e;
const PAGE_BYTES = 4096;

// Flags in the low bits of a ram record's address.
const FLAG_ZERO = 0x02n;
const FLAG_MEM_SIZE = 0x04n;
const FLAG_PAGE = 0x08n;
const FLAG_EOS = 0x10n;
const FLAG_CONTINUE = 0x20n;
const FLAGS = 0xfffn;

/** The block of guest memory that holds the firmware. */
export const FIRMWARE_BLOCK = "pc.bios";

const RAM_HEADER = Buffer.from("\x03ram\x00\x00\x00\x00\x00\x00\x00\x04", "latin1");

/**
 * Joins the configuration and `ram` sections of `base` with the device sections of `devices`.
 * @param base a whole stream, from `migrate` with x-ignore-shared or from an earlier join
 * @param devices the output of `xen-save-devices-state`
 * @param firmware the current bytes of `pc.bios`
 */
export function joinStreams(base: Buffer, devices: Buffer, firmware: Buffer): Buffer {
  if (base.length < 8 || devices.length < 9 || base.readUInt32BE(0) !== MAGIC || devices.readUInt32BE(0) !== MAGIC) {
    throw malformed("it does not begin with QEVM");
  }
  if (devices[8] !== SECTION_FULL) throw malformed("the devices do not begin with a full section");
  return Buffer.concat([...rewriteRam(base, firmware), devices.subarray(8)]);
}

/** The stream up to its first device section, with the firmware's pages replaced. */
function rewriteRam(base: Buffer, firmware: Buffer): Buffer[] {
  const header = base.indexOf(RAM_HEADER);
  if (header < 5 || base[header - 5] !== SECTION_START) throw malformed("it has no ram section");
  const reader = new Reader(base, header - 5);
  const parts: Buffer[] = [base.subarray(0, reader.position)];
  for (;;) {
    const type = reader.peek();
    if (type === SECTION_FULL) return parts;
    if (type === COMMAND) {
      const head = reader.take(5);
      parts.push(head, reader.take(head.readUInt16BE(3)));
      continue;
    }
    if (type !== SECTION_START && type !== SECTION_PART && type !== SECTION_END) {
      throw malformed(`unexpected section type ${type}`);
    }
    const start = reader.position;
    reader.skip(5);
    if (type === SECTION_START) reader.skip(RAM_HEADER.length);
    parts.push(base.subarray(start, reader.position));
    rewriteRecords(reader, parts, firmware, type === SECTION_START);
    if (reader.peek() === SECTION_FOOTER) parts.push(reader.take(5));
  }
}

function rewriteRecords(reader: Reader, parts: Buffer[], firmware: Buffer, setup: boolean): void {
  let block = "";
  for (;;) {
    const head = reader.take(8);
    const word = head.readBigUInt64BE();
    const flags = word & FLAGS;
    if ((flags & FLAG_EOS) !== 0n) {
      parts.push(head);
      return;
    }
    if (setup && (flags & FLAG_MEM_SIZE) !== 0n) {
      parts.push(head, takeBlockList(reader, word & ~FLAGS));
      continue;
    }
    let name: Buffer = Buffer.alloc(0);
    if ((flags & FLAG_CONTINUE) === 0n) {
      name = reader.takeString();
      block = name.toString("latin1", 1);
    }
    const body = takePage(reader, flags);
    const offset = Number(word & ~FLAGS);
    if (block === FIRMWARE_BLOCK) {
      const page = firmware.subarray(offset, offset + PAGE_BYTES);
      if (page.length !== PAGE_BYTES) throw malformed(`firmware page at ${offset} is outside`);
      const rewritten = Buffer.alloc(8);
      rewritten.writeBigUInt64BE((word & ~FLAGS) | (flags & FLAG_CONTINUE) | FLAG_PAGE);
      parts.push(rewritten, name, page);
    } else {
      parts.push(head, name, body);
    }
  }
}

function takePage(reader: Reader, flags: bigint): Buffer {
  if ((flags & FLAG_ZERO) !== 0n) return reader.take(1);
  if ((flags & FLAG_PAGE) !== 0n) return reader.take(PAGE_BYTES);
  throw malformed(`unexpected ram record with flags ${flags}`);
}

/** Names, sizes and (because of x-ignore-shared) addresses of all blocks, until the total is reached. */
function takeBlockList(reader: Reader, totalBytes: bigint): Buffer {
  const start = reader.position;
  let seen = 0n;
  while (seen < totalBytes) {
    reader.takeString();
    seen += reader.take(8).readBigUInt64BE();
    reader.skip(8);
  }
  return reader.since(start);
}

class Reader {
  readonly #bytes: Buffer;
  position: number;

  constructor(bytes: Buffer, position: number) {
    this.#bytes = bytes;
    this.position = position;
  }

  peek(): number {
    const byte = this.#bytes[this.position];
    if (byte === undefined) throw malformed("it ends too early");
    return byte;
  }

  take(length: number): Buffer {
    const end = this.position + length;
    if (end > this.#bytes.length) throw malformed("it ends too early");
    const part = this.#bytes.subarray(this.position, end);
    this.position = end;
    return part;
  }

  /** A length byte and that many bytes, both returned. */
  takeString(): Buffer {
    return this.take(1 + this.peek());
  }

  skip(length: number): void {
    this.take(length);
  }

  since(start: number): Buffer {
    return this.#bytes.subarray(start, this.position);
  }
}

function malformed(why: string): WrennError {
  return new WrennError("incompatible_snapshot", `Cannot read the device state: ${why}`);
}
