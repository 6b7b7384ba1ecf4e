import { execFile, spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { borrowSteps, ENVD_PATH, recordProgress, SHARED_DIRECTORY, sharedGuest } from "../testing/test-guest.ts";
import { ensureGuest } from "./ensure-guest.ts";
import { readGuestManifest } from "./manifest.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const never = new AbortController().signal;
const cleanups: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  await sharedGuest();
});

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function borrow(...names: string[]): Promise<string> {
  const stateDirectory = await borrowSteps(names);
  cleanups.push(() => rm(stateDirectory, { recursive: true }));
  return stateDirectory;
}

async function emptyDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "wrenn-guest-test-"));
  cleanups.push(() => rm(directory, { recursive: true }));
  return directory;
}

function stepsOf(stateDirectory: string): Promise<string[]> {
  return readdir(join(stateDirectory, "guest/steps"));
}

async function leftovers(stateDirectory: string): Promise<string[]> {
  return (await stepsOf(stateDirectory)).filter((name) => name.startsWith("tmp."));
}

/** The builder as a process of its own, in a new network namespace with nothing in it. */
function startOffline(stateDirectory: string, env: NodeJS.ProcessEnv = {}): ChildProcess {
  return spawn("unshare", ["--net", process.execPath, MAIN, "--dir", stateDirectory], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function finish(child: ChildProcess): Promise<{ code: number | null; signal: string | null; stderr: string }> {
  let stderr = "";
  child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout?.resume();
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  return { code, signal, stderr };
}

describe("ensureGuest() when all is built", () => {
  it("changes nothing, runs no program, needs no network", async () => {
    const before = await timesBelow(join(SHARED_DIRECTORY, "guest"));
    const { stdout } = await promisify(execFile)(
      "/usr/bin/unshare",
      ["--net", process.execPath, MAIN, "--dir", SHARED_DIRECTORY],
      {
        env: { ...process.env, PATH: "/nonexistent" },
      },
    );
    expect(JSON.parse(stdout)).toEqual(await readGuestManifest(SHARED_DIRECTORY));
    expect(await timesBelow(join(SHARED_DIRECTORY, "guest"))).toEqual(before);
  });

  it("answers within five times the promised 50 ms", async () => {
    const options = await sharedGuest();
    const startedAt = performance.now();
    await ensureGuest(options);
    expect(performance.now() - startedAt).toBeLessThan(250);
  });

  it("names files that are there, read-only and small", async () => {
    const manifest = await readGuestManifest(SHARED_DIRECTORY);
    expect(manifest.templates.map((template) => template.name)).toEqual(["base", "minimal"]);
    for (const template of manifest.templates) {
      const image = await stat(template.rootfsPath);
      expect(image.mode & 0o777).toBe(0o444);
      expect(image.size).toBe(template.virtualBytes);
      expect(image.blocks * 512).toBe(template.sizeBytes);
      expect(template.sizeBytes).toBeLessThan(400 * 1024 ** 2);
      expect(template.buildId).toMatch(/^bld_[0-9a-z]{20}$/);
    }
    for (const path of [manifest.kernelPath, manifest.initramfsPath]) expect((await stat(path)).mode & 0o222).toBe(0);
  });
});

describe("ensureGuest() with something to build", () => {
  it("builds only the images when the agent changed, and keeps the old images", async () => {
    const stateDirectory = await borrow(
      "kernel",
      "initramfs",
      "tree-base",
      "tree-minimal",
      "rootfs-base",
      "rootfs-minimal",
    );
    const before = await stepsOf(stateDirectory);
    const envdPath = join(stateDirectory, "envd");
    await writeFile(envdPath, "another agent");
    const progress = recordProgress();
    const manifest = await ensureGuest({ stateDirectory, envdPath, progress, signal: never });
    expect(progress.steps).toEqual(["rootfs-base", "rootfs-minimal"]);
    expect((await stepsOf(stateDirectory)).length).toBe(before.length + 2);
    const shared = await readGuestManifest(SHARED_DIRECTORY);
    expect(manifest.kernelHash).toBe(shared.kernelHash);
    expect(manifest.templates[0]?.buildId).not.toBe(shared.templates[0]?.buildId);
  });

  it("removes leftovers and superseded steps, but no image", async () => {
    const stateDirectory = await borrow("kernel", "initramfs", "tree-base", "tree-minimal");
    for (const name of [
      "tmp.tree-base.killed",
      "tree-base-0000000000000000",
      "kernel-0000000000000000",
      "rootfs-base-0000000000000000",
    ]) {
      await mkdir(join(stateDirectory, "guest/steps", name));
    }
    await ensureGuest({ stateDirectory, envdPath: ENVD_PATH, progress: recordProgress(), signal: never });
    const kinds = (await stepsOf(stateDirectory)).map((name) => name.replace(/-[0-9a-f]{16}$/, "")).sort();
    expect(kinds).toEqual([
      "initramfs",
      "kernel",
      "rootfs-base",
      "rootfs-base",
      "rootfs-minimal",
      "tree-base",
      "tree-minimal",
    ]);
  });

  it("leaves nothing half when canceled, and a repeat finishes", async () => {
    const stateDirectory = await borrow("kernel", "tree-base", "tree-minimal");
    const cancel = new AbortController();
    const unpacking = recordProgress((name) => {
      if (name === "initramfs") setTimeout(() => cancel.abort(), 300); // dpkg-deb takes a second
    });
    const canceled = ensureGuest({ stateDirectory, envdPath: ENVD_PATH, progress: unpacking, signal: cancel.signal });
    await expect(canceled).rejects.toMatchObject({ code: "canceled" });
    expect((await stepsOf(stateDirectory)).filter((name) => /^(tmp\.|initramfs)/.test(name))).toEqual([]);
    await expect(stat(join(stateDirectory, "guest/manifest.json"))).rejects.toMatchObject({ code: "ENOENT" });

    const repeat = recordProgress();
    await ensureGuest({ stateDirectory, envdPath: ENVD_PATH, progress: repeat, signal: never });
    expect(repeat.steps).toEqual(["initramfs", "rootfs-base", "rootfs-minimal"]);
  });

  it("leaves nothing that counts when killed just before a step is published", async () => {
    const stateDirectory = await borrow("kernel", "tree-base", "tree-minimal");
    const killed = await finish(startOffline(stateDirectory, { WRENN_FAILPOINTS: "guest.step.rename=kill" }));
    expect(killed.signal ?? killed.code).toSatisfy((end) => end === "SIGKILL" || end === 137);
    expect((await stepsOf(stateDirectory)).some((name) => name.startsWith("initramfs-"))).toBe(false);
    expect(await leftovers(stateDirectory)).toHaveLength(1);

    const repeat = await finish(startOffline(stateDirectory));
    expect(repeat.code).toBe(0);
    expect(await leftovers(stateDirectory)).toEqual([]);
  });

  it("says that the disk is full, leaves no half image, and a repeat finishes", async () => {
    const stateDirectory = await borrow("kernel", "tree-base", "tree-minimal");
    const small = await emptyDirectory();
    await sh("mount", "-t", "tmpfs", "-o", "size=60m,mode=711", "tmpfs", small);
    cleanups.push(() => sh("umount", small));
    await mkdir(join(small, "guest/steps"), { recursive: true });
    const kernel = (await stepsOf(stateDirectory)).find((name) => name.startsWith("kernel-"));
    await sh("cp", "--archive", join(stateDirectory, "guest/steps", kernel ?? ""), join(small, "guest/steps"));

    const full = ensureGuest({ stateDirectory: small, envdPath: ENVD_PATH, progress: recordProgress(), signal: never });
    await expect(full).rejects.toMatchObject({ code: "storage_full", hint: expect.stringContaining("WRENN_DIR") });
    expect(await stepsOf(small)).toEqual([kernel]);

    await sh("mount", "-o", "remount,size=1g", small);
    await sh("cp", "--archive", ...(await treesOf(stateDirectory)), join(small, "guest/steps"));
    const repeat = recordProgress();
    await ensureGuest({ stateDirectory: small, envdPath: ENVD_PATH, progress: repeat, signal: never });
    expect(repeat.steps).toEqual(["initramfs", "rootfs-base", "rootfs-minimal"]);
  });

  it("says that the mirror does not answer when there is no network, and leaves nothing", async () => {
    const stateDirectory = await emptyDirectory();
    const { code, stderr } = await finish(startOffline(stateDirectory));
    expect(code).toBe(1);
    expect(stderr).toContain("the Debian mirror does not answer");
    expect(stderr).toContain("apt-get update");
    expect(await stepsOf(stateDirectory)).toEqual([]);
  });

  it("builds once when two start at once; the second waits and says so", async () => {
    const stateDirectory = await borrow("kernel", "tree-base", "tree-minimal");
    const first = startOffline(stateDirectory);
    const firstEnd = finish(first);
    await once(first.stderr ?? first, "data"); // its first step has begun
    const second = await finish(startOffline(stateDirectory));
    expect((await firstEnd).code).toBe(0);
    expect(second.code).toBe(0);
    expect(second.stderr).toBe(`Waiting for another build of the guest in ${stateDirectory}/guest\n`);
  });

  it("does not wait for a build that was killed", async () => {
    const stateDirectory = await borrow("kernel", "tree-base", "tree-minimal");
    const killed = await finish(startOffline(stateDirectory, { WRENN_FAILPOINTS: "guest.manifest.rename=kill" }));
    expect(killed.code).not.toBe(0);
    const progress = recordProgress();
    await ensureGuest({ stateDirectory, envdPath: ENVD_PATH, progress, signal: never });
    expect(progress).toMatchObject({ notes: [], steps: [] });
  });

  it("names the packages that are not installed", async () => {
    const stateDirectory = await emptyDirectory();
    // In a mount namespace of its own, where mmdebstrap cannot be executed.
    const hidden = ["--mount", "sh", "-c", 'mount --bind /dev/null /usr/bin/mmdebstrap && exec "$@"', "sh"];
    const { code, stderr } = await finish(
      spawn("unshare", [...hidden, process.execPath, MAIN, "--dir", stateDirectory], { stdio: "pipe" }),
    );
    expect(code).toBe(1);
    expect(stderr).toBe("Cannot build the guest: mmdebstrap not installed\nRun: apt-get install mmdebstrap\n");
  });

  // Nobody reaches a checkout below /root.
  const reachable = spawnSync("test", ["-r", MAIN], { uid: 65_534, gid: 65_534 }).status === 0;
  it.skipIf(!reachable)("needs root only to build", async () => {
    const stateDirectory = await emptyDirectory();
    const asNobody = (directory: string) =>
      finish(spawn(process.execPath, [MAIN, "--dir", directory], { uid: 65_534, gid: 65_534, stdio: "pipe" }));
    expect(await asNobody(SHARED_DIRECTORY)).toMatchObject({ code: 0, stderr: "" });
    const { code, stderr } = await asNobody(stateDirectory);
    expect(code).toBe(1);
    expect(stderr).toContain("needs root");
  });

  it("makes the images readable whatever the umask is", async () => {
    const stateDirectory = await borrow("kernel", "tree-base", "tree-minimal");
    const { code } = await finish(
      spawn("sh", ["-c", 'umask 077 && exec "$@"', "sh", process.execPath, MAIN, "--dir", stateDirectory], {
        stdio: "pipe",
      }),
    );
    expect(code).toBe(0);
    const manifest = await readGuestManifest(stateDirectory);
    const paths = [manifest.initramfsPath, ...manifest.templates.map((template) => template.rootfsPath)];
    for (const path of paths) {
      expect((await stat(path)).mode & 0o777).toBe(0o444);
      expect((await stat(dirname(path))).mode & 0o777).toBe(0o755);
    }
  });

  it("says that the agent has not been built", async () => {
    const stateDirectory = await emptyDirectory();
    const missing = ensureGuest({
      stateDirectory,
      envdPath: "/nonexistent/envd",
      progress: recordProgress(),
      signal: never,
    });
    await expect(missing).rejects.toMatchObject({
      code: "missing_requirement",
      message: expect.stringContaining("/nonexistent/envd"),
    });
  });
});

async function treesOf(stateDirectory: string): Promise<string[]> {
  const names = (await stepsOf(stateDirectory)).filter((name) => name.startsWith("tree-"));
  return names.map((name) => join(stateDirectory, "guest/steps", name));
}

async function sh(...argv: [string, ...string[]]): Promise<void> {
  const [program, ...args] = argv;
  const { status, stderr } = spawnSync(program, args);
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${stderr.toString()}`);
}

async function timesBelow(directory: string): Promise<Record<string, string>> {
  const times: Record<string, string> = {};
  for (const entry of await readdir(directory, { recursive: true })) {
    const { mtimeMs, ctimeMs, ino } = await stat(join(directory, entry));
    times[entry] = `${mtimeMs} ${ctimeMs} ${ino}`;
  }
  return times;
}
