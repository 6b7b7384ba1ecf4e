import { mkdir, mkdtemp, open, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "@wrenn/effects";
import { emptyOverlay, MAX_DISK_BYTES } from "./overlay.ts";
import { Qcow2Store } from "./qcow2-store.ts";

const MIB = 1024 * 1024;
const signal = AbortSignal.timeout(60_000);
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-qcow2-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function rawBase(bytes: number, content: string) {
  const path = join(directory, "base.raw");
  const file = await open(path, "wx");
  await file.write(content, 0);
  await file.truncate(bytes);
  await file.close();
  return { path, format: "raw", backingPaths: [] } as const;
}

describe("emptyOverlay", () => {
  it.each([64 * MIB, 8 * 1024 * MIB, 8 * 1024 * MIB + 512, MAX_DISK_BYTES])(
    "is a sound image of %d bytes to qemu-img",
    async (bytes) => {
      const base = await rawBase(64 * MIB, "hello");
      const path = join(directory, "disk.qcow2");
      const file = await open(path, "wx");
      await file.writeFile(emptyOverlay(base, bytes));
      await file.close();
      const { stdout: check } = await run(["qemu-img", "check", "--output=json", path]);
      expect(JSON.parse(check)).toMatchObject({ "check-errors": 0 });
      expect(JSON.parse(check)).not.toHaveProperty("leaks");
      const { stdout: info } = await run(["qemu-img", "info", "--output=json", path]);
      expect(JSON.parse(info)).toMatchObject({
        "virtual-size": bytes,
        "backing-filename": base.path,
        "backing-filename-format": "raw",
        "dirty-flag": false,
      });
    },
  );
});

describe("Qcow2Store", () => {
  const store = new Qcow2Store();

  it("keeps a sealed disk as it was while a new overlay on it is written", async () => {
    const base = await rawBase(64 * MIB, "from the base");
    const disk = await store.create({ id: "d", directory, base, sizeBytes: 64 * MIB, uid: 65534 }, signal);
    expect((await stat(disk.path)).uid).toBe(65534);
    await run(["qemu-io", "-c", "write -P 0xab 1M 64k", disk.path]);
    const layer = join(directory, "layer");
    await mkdir(layer);
    const sealed = await store.seal(disk, layer, signal);
    await store.remove(disk);
    await store.lock(sealed);
    const { mtimeMs, mode } = await stat(sealed.path);
    expect(mode & 0o777).toBe(0o444);

    const next = await store.create({ id: "d", directory, base: sealed, sizeBytes: 64 * MIB, uid: 65534 }, signal);
    expect(next.backingPaths).toEqual([sealed.path, base.path]);
    await run(["qemu-io", "-c", "read -P 0xab 1M 64k", "-c", "write -P 0xcd 1M 64k", next.path]);
    await run(["qemu-io", "-r", "-c", "read -P 0xab 1M 64k", sealed.path]);
    expect((await stat(sealed.path)).mtimeMs).toBe(mtimeMs);
    expect(await store.usage(next)).toBeGreaterThan(0);
  });

  it("refuses a second disk in one place and leaves the first", async () => {
    const base = await rawBase(MIB, "");
    const options = { id: "d", directory, base, sizeBytes: MIB, uid: 0 };
    const disk = await store.create(options, signal);
    await expect(store.create(options, signal)).rejects.toMatchObject({ code: "already_exists" });
    await stat(disk.path);
    await store.remove(disk);
    await store.remove(disk);
  });

  it("refuses a disk that its table cannot describe", async () => {
    const base = await rawBase(MIB, "");
    await expect(
      store.create({ id: "d", directory, base, sizeBytes: MAX_DISK_BYTES + 1, uid: 0 }, signal),
    ).rejects.toMatchObject({ code: "invalid_request" });
  });
});
