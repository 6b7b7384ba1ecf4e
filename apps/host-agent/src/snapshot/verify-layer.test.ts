import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { DeviceMapperStore } from "../disk/device-mapper/device-mapper-store.ts";
import type { Pager } from "../pager/pager.ts";
import type { Layer } from "./layer.ts";
import { verifyLayer } from "./verify-layer.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "verify-layer-"));
});
afterEach(async () => await rm(directory, { recursive: true }));

/** Verifies a layer that has no memory, and a CoW file that is none. */
async function verify(signal: AbortSignal) {
  const path = join(directory, "disk.cow");
  await writeFile(path, Buffer.alloc(8192, "content"));
  const layer = { directory, meta: { disk: { path, format: "dm-snapshot", backingPaths: [] } } } as unknown as Layer;
  const noPager = undefined as unknown as Pager; // nobody asks it without memory
  return await verifyLayer(layer, { pager: noPager, disks: new DeviceMapperStore() }, signal);
}

it("tells damage, file by file", async () => {
  const found = await verify(new AbortController().signal);
  expect(found.map(({ problem }) => problem)).toEqual([undefined, expect.stringContaining("disk.cow")]);
});

it("takes nothing for damaged that it could not read in time", async () => {
  await expect(verify(AbortSignal.abort(new DOMException("late", "TimeoutError")))).rejects.toMatchObject({
    code: "timeout",
  });
});
