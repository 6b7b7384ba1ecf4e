import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RecordStore } from "./record.ts";

const ID = "sb00000000000000000000";
let state: string;

beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), "wrenn-records-"));
  await mkdir(join(state, "sandboxes", ID), { recursive: true });
});
afterEach(() => rm(state, { recursive: true }));

describe("RecordStore.readAll()", () => {
  it("leaves out what a crash left without a record", async () => {
    await mkdir(join(state, "sandboxes", "empty"));
    await mkdir(join(state, "sandboxes", "half"));
    await writeFile(join(state, "sandboxes", "half", "record.json"), '{"id":"');
    await writeFile(join(state, "sandboxes", "file"), "");
    await writeFile(join(state, "sandboxes", ID, "record.json"), JSON.stringify({ id: ID }));
    expect(await new RecordStore(state).readAll()).toEqual([{ id: ID }]);
  });

  it("does not take a record that cannot be read for none: its sandbox would be removed", async () => {
    const record = join(state, "sandboxes", ID, "record.json");
    await symlink(record, record); // ELOOP, as a disk that fails says EIO
    await expect(new RecordStore(state).readAll()).rejects.toMatchObject({
      code: "internal",
      message: `Cannot read the record of sandbox ${ID}: ELOOP`,
    });
  });

  it("tells of a damaged record of a sandbox that has layers: it is nobody's, and not to be removed", async () => {
    await writeFile(join(state, "sandboxes", ID, "record.json"), "\0".repeat(512));
    const store = new RecordStore(state);
    expect([await store.readAll(), [...store.damaged]]).toEqual([[], []]);
    await mkdir(join(state, "sandboxes", ID, "layers", "layer_1"), { recursive: true });
    expect([await store.readAll(), [...store.damaged]]).toEqual([[], [ID]]);
  });
});
