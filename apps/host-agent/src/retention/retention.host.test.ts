import { mkdir, mkdtemp, readdir, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Retention } from "./retention.ts";
import { unit, type Unit, type UnitDirectories } from "./unit.ts";

const SOURCE = `sb${"s".repeat(20)}`;
const CHILD = `sb${"c".repeat(20)}`;
const BUILD = `bld_${"b".repeat(20)}`;

let root: string;
let directories: UnitDirectories;
let inUse: Set<Unit>;
let held: string[];
let retention: Retention;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "wrenn-retention-"));
  directories = {
    sandboxes: join(root, "sandboxes"),
    golden: join(root, "golden"),
    templates: join(root, "templates"),
    images: join(root, "guest/steps"),
  };
  inUse = new Set();
  held = [];
  retention = new Retention({ directories, log: pino({ level: "silent" }), inUse: () => inUse, held: () => held });
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function put(path: string, value: unknown = {}): Promise<void> {
  await mkdir(join(root, path, ".."), { recursive: true });
  await writeFile(join(root, path), JSON.stringify(value));
}
const sandboxes = async () => (await readdir(directories.sandboxes)).sort();
const sourceDisk = () => join(directories.sandboxes, SOURCE, "disks/run1.qcow2");

describe("Retention", () => {
  it("keeps a destroyed sandbox's files for the children that stand on them, and no longer", async () => {
    await put(`sandboxes/${SOURCE}/layers/layer_a/meta.json`, { memory: { builds: {} } });
    await put(`sandboxes/${CHILD}/record.json`, { disk: { backingPaths: [sourceDisk(), "/elsewhere"] } });
    inUse.add(unit("sandboxes", CHILD)); // the source has no record any more
    await retention.collect();
    expect(await sandboxes()).toEqual([CHILD, SOURCE]);
    expect([...(await retention.neededByOthers("sandboxes", SOURCE))]).toEqual([sourceDisk()]);

    inUse.clear();
    await retention.collect();
    expect(await sandboxes()).toEqual([]);
  });

  it("keeps what a kept template stands on through what was itself destroyed", async () => {
    await put(`templates/${BUILD}/meta.json`, { disk: { path: join(directories.sandboxes, CHILD, "disk") } });
    await put(`sandboxes/${CHILD}/layers/layer_b/meta.json`, { disk: { backingPaths: [sourceDisk()] } });
    await put(`sandboxes/${SOURCE}/vm`, {});
    inUse.add(unit("templates", BUILD));
    await retention.collect();
    expect(await sandboxes()).toEqual([CHILD, SOURCE]);
  });

  it("keeps what an operation holds until its record says so", async () => {
    await put(`sandboxes/${SOURCE}/x`);
    await put(`sandboxes/${CHILD}/x`);
    inUse.add(unit("sandboxes", CHILD));
    held = [sourceDisk()];
    await retention.collect();
    expect(await sandboxes()).toEqual([CHILD, SOURCE]);
    await put(`sandboxes/${CHILD}/record.json`, { disk: { backingPaths: [sourceDisk()] } });
    retention.changed("sandboxes", CHILD);
    held = [];
    await retention.collect();
    expect(await sandboxes()).toEqual([CHILD, SOURCE]);
  });

  it("tells which builds of a VMM what is kept was made by", async () => {
    await put(`sandboxes/${SOURCE}/record.json`, { vm: { build: "running" } });
    await put(`sandboxes/${SOURCE}/layers/layer_a/meta.json`, { compatibility: { vmm: "paused" } });
    await put(`templates/${BUILD}/layers/${BUILD}/meta.json`, { compatibility: { vmm: "deleted" } });
    inUse.add(unit("sandboxes", SOURCE));
    const builds = new Set(["running", "paused", "deleted", "unused"]);
    expect(await retention.namesIn(builds)).toEqual(new Set(["running", "paused"]));
  });

  it("asks again when a record changed while it read", async () => {
    await put(`sandboxes/${SOURCE}/x`);
    await put(`sandboxes/${CHILD}/record.json`, {});
    inUse.add(unit("sandboxes", CHILD));
    held = [sourceDisk()];
    const kept = retention.kept(); // reads the record as it was
    await put(`sandboxes/${CHILD}/record.json`, { disk: { backingPaths: [sourceDisk()] } });
    retention.changed("sandboxes", CHILD);
    held = [];
    expect(await kept).toContain(unit("sandboxes", SOURCE));
  });

  it("removes what is nobody's after a day, and nothing outside of its directories", async () => {
    for (const name of ["left-by-somebody", "../outside"]) await put(`sandboxes/${name}/x`);
    await retention.collect();
    expect(await sandboxes()).toEqual(["left-by-somebody"]);
    const longAgo = new Date(Date.now() - 25 * 3_600_000);
    await utimes(join(directories.sandboxes, "left-by-somebody"), longAgo, longAgo);
    await retention.collect();
    expect(await sandboxes()).toEqual([]);
    expect(await readdir(root)).toContain("outside");
  });

  it("removes nothing while it cannot read what something stands on", async () => {
    const [record, hidden] = [join(directories.sandboxes, CHILD, "record.json"), join(root, "hidden")];
    await put(`sandboxes/${SOURCE}/x`);
    await put(`sandboxes/${CHILD}/record.json`, { disk: { backingPaths: [sourceDisk()] } });
    inUse.add(unit("sandboxes", CHILD));
    await rename(record, hidden);
    await symlink(record, record); // ELOOP, as a disk that fails says EIO
    await expect(retention.collect()).rejects.toMatchObject({ code: "ELOOP" });
    await rm(record);
    await rename(hidden, record);
    await retention.collect();
    expect(await sandboxes()).toEqual([CHILD, SOURCE]);
  });

  it("takes a file among the directories for nothing that names anything", async () => {
    await put("sandboxes/a-file", { disk: sourceDisk() });
    await put(`sandboxes/${SOURCE}/x`);
    await retention.collect();
    expect(await sandboxes()).toEqual(["a-file"]);
  });

  it("goes on after one that cannot be removed, and tries that one again", async () => {
    await put(`sandboxes/${CHILD}/check`); // a file where a directory is looked into
    for (const id of [SOURCE, `sb${"z".repeat(20)}`]) await put(`sandboxes/${id}/x`);
    await expect(retention.collect()).rejects.toThrow(/Cannot remove all that nobody needs: .*ENOTDIR/);
    expect(await sandboxes()).toEqual([CHILD]);
    await rm(join(directories.sandboxes, CHILD, "check"));
    await retention.collect();
    expect(await sandboxes()).toEqual([]);
  });

  it("removes a built image when nothing stands on it, in use or not, and it is a day old", async () => {
    const image = (name: string) => `guest/steps/rootfs-base-${name.repeat(16)}`;
    const disk = (name: string) => join(root, image(name), "rootfs.ext4");
    for (const name of ["a", "b", "c", "d", "e"]) await put(`${image(name)}/rootfs.ext4`);
    await put("guest/steps/tree-base-0123456789abcdef/tree.ext4");
    await put(`sandboxes/${SOURCE}/layers/layer_a/meta.json`, { disk: { backingPaths: [disk("b")] } });
    await put("golden/gold_1/meta.json", { disk: { backingPaths: [disk("c")] } }); // of no sandbox
    const images = async () =>
      (await readdir(directories.images)).flatMap((name) => /^rootfs-base-(.)/.exec(name)?.[1] ?? []).sort();
    const longAgo = new Date(Date.now() - 25 * 3_600_000);
    for (const name of ["a", "b", "c", "d"]) await utimes(join(root, image(name)), longAgo, longAgo);
    await retention.collectImages(new Set([unit("images", `rootfs-base-${"a".repeat(16)}`)]));
    expect(await images()).toEqual(["a", "b", "c", "e"]);
    await rm(join(root, "sandboxes"), { recursive: true });
    await rm(join(root, "golden"), { recursive: true });
    await retention.collectImages(new Set([unit("images", `rootfs-base-${"a".repeat(16)}`)]));
    expect(await images()).toEqual(["a", "e"]);
    expect(await readdir(directories.images)).toContain("tree-base-0123456789abcdef");
  });

  it("takes a damaged record for one that names nothing", async () => {
    await put(`sandboxes/${CHILD}/x`);
    await writeFile(join(directories.sandboxes, CHILD, "record.json"), "{half");
    inUse.add(unit("sandboxes", CHILD));
    expect(await retention.kept()).toEqual(new Set([unit("sandboxes", CHILD)]));
  });
});
