/** The smallest damage that a file can take. */
import { chmod, open } from "node:fs/promises";

/** Changes one bit of one byte; the file is read-only afterwards, as those of layers are. */
export async function flipByte(path: string, position: number): Promise<void> {
  await chmod(path, 0o600);
  await using file = await open(path, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, position);
  byte.writeUInt8(byte.readUInt8(0) ^ 1);
  await file.write(byte, 0, 1, position);
  await chmod(path, 0o444);
}
