/**
 * A cpio archive in the `newc` format that Linux unpacks as an initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). Times and owners are zero, so equal
 * entries give equal bytes.
 */

/** A directory (without `content`) or a file. */
export interface CpioEntry {
  /** Relative path, without a leading slash. */
  path: string;
  /** Permission bits. */
  mode: number;
  content?: Uint8Array;
}

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;

/** The archive's bytes; parents must come before what is in them. */
export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const records = entries.map((entry, index) => record(entry, index + 1));
  return Buffer.concat([...records, record({ path: "TRAILER!!!", mode: 0, content: new Uint8Array() }, 0)]);
}

function record(entry: CpioEntry, inode: number): Buffer {
  const content = entry.content ?? new Uint8Array();
  const type = inode === 0 ? 0 : entry.content === undefined ? S_IFDIR : S_IFREG;
  const links = type === S_IFDIR ? 2 : 1;
  const name = Buffer.from(`${entry.path}\0`);
  // inode, mode, uid, gid, links, mtime, size, device (major, minor), special device (major, minor), name size, checksum
  const fields = [inode, type | entry.mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
  return Buffer.concat([pad(Buffer.concat([header, name])), pad(content)]);
}

function pad(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}
