/** Builds the guest, or finds it built. */
import { createHash } from "node:crypto";
import { access, chmod, mkdir, readdir, readFile, realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { remove, statIfExists, writeFileAtomic, tryLock, waitForLock, type FileLock } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { debianCodename, openDebianArchive, type DebianArchive } from "./archive.ts";
import { buildFailure } from "./failures.ts";
import { initramfsStep } from "./initramfs.ts";
import { kernelStep } from "./kernel.ts";
import { guestManifestPath, readGuestManifest, type GuestManifest, type GuestTemplate } from "./manifest.ts";
import type { GuestProgress } from "./progress.ts";
import { requireBuildPackages } from "./requirements.ts";
import { rootfsStep } from "./rootfs.ts";
import { buildStep, stepDirectory, stepHash, TEMPORARY_PREFIX, type Step, type StepTools } from "./step.ts";
import { DEFAULT_USER, TEMPLATES, type TemplateRecipe } from "./templates.ts";
import { treeStep } from "./tree.ts";

/** Kernel arguments whatever the VMM is. */
const KERNEL_ARGUMENTS = [
  "root=/dev/vda",
  "rw",
  "quiet",
  // The VM ends when PID 1 does.
  "panic=-1",
  "reboot=t",
  // A guest that the host lets wait would otherwise take its only clock for broken.
  "tsc=reliable",
  // The self-tests of the kernel's ciphers are 0.35 s of an emulated boot.
  "cryptomgr.notests",
];

export interface EnsureGuestOptions {
  /** `WRENN_DIR`. */
  stateDirectory: string;
  /** The guest agent's binary; a changed one gives new disk images. */
  envdPath: string;
  progress: GuestProgress;
  signal: AbortSignal;
}

/**
 * The guest of this checkout, built below `<stateDirectory>/guest` where it is not there yet. Without
 * anything to build it runs no program and needs neither network nor root.
 * @throws WrennError `storage_full`, `missing_requirement` (tool, network, mirror), `needs_root`,
 *   `unsupported` (not Debian), `canceled`
 */
export async function ensureGuest(options: EnsureGuestOptions): Promise<GuestManifest> {
  const { stateDirectory, signal } = options;
  await requireEnvd(options.envdPath);
  const guestDirectory = await realGuestDirectory(stateDirectory);
  const stepsDirectory = join(guestDirectory, "steps");

  const ready = await findGuest(options, stepsDirectory);
  if (ready !== undefined) return ready;
  if (process.getuid?.() !== 0) {
    throw new WrennError("needs_root", `Cannot build the guest in ${guestDirectory}: that needs root`, {
      hint: "Run the same command as root once, for example with sudo",
    });
  }
  // Unprivileged VMs read the images, whatever umask the caller has.
  const umask = process.umask(0o022);
  try {
    await requireBuildPackages();
    await makeDirectories(stateDirectory, stepsDirectory);
    await using _lock = await lockBuild(guestDirectory, options);
    return await build(options, stepsDirectory);
  } catch (thrown) {
    throw buildFailure("build the guest", thrown, signal, stateDirectory);
  } finally {
    process.umask(umask);
  }
}

/**
 * The guest directory's own path, not that of a link to it: the manifest names files by it, also for
 * other state directories. Nothing has to exist yet.
 */
async function realGuestDirectory(stateDirectory: string): Promise<string> {
  const named = join(stateDirectory, "guest");
  const inRealState = () => realpath(stateDirectory).then((directory) => join(directory, "guest"));
  return await realpath(named)
    .catch(inRealState)
    .catch(() => named);
}

/** One build at a time; the others wait and say so. */
async function lockBuild(guestDirectory: string, { progress, signal }: EnsureGuestOptions): Promise<FileLock> {
  const path = join(guestDirectory, "build.lock");
  const lock = await tryLock(path);
  if (lock !== undefined) return lock;
  progress.note(`Waiting for another build of the guest in ${guestDirectory}`);
  return await waitForLock(path, signal);
}

async function requireEnvd(envdPath: string): Promise<void> {
  try {
    await access(envdPath);
  } catch (cause) {
    throw new WrennError("missing_requirement", `Cannot build the guest: its agent ${envdPath} is not there`, {
      cause,
      hint: "Build it with `cargo build --release -p envd`",
    });
  }
}

/** The manifest in use, if it is that of these inputs and all of it is there. */
async function findGuest(options: EnsureGuestOptions, stepsDirectory: string): Promise<GuestManifest | undefined> {
  const missing = Symbol("missing");
  try {
    const manifest = await assemble(options.envdPath, async (step) => {
      const directory = stepDirectory(stepsDirectory, step);
      if ((await statIfExists(directory)) === undefined) throw missing;
      return directory;
    });
    const current = await readGuestManifest(options.stateDirectory).catch(() => undefined);
    return JSON.stringify(current) === JSON.stringify(manifest) ? manifest : undefined;
  } catch (thrown) {
    if (thrown === missing || (thrown as NodeJS.ErrnoException).code === "EACCES") return undefined;
    throw thrown;
  }
}

/** Goes through all steps in order; `obtain` finds or builds each and tells its directory. */
async function assemble(envdPath: string, obtain: (step: Step) => Promise<string>): Promise<GuestManifest> {
  const codename = await debianCodename();
  const kernelDirectory = await obtain(await kernelStep(codename));
  const initramfsDirectory = await obtain(await initramfsStep(kernelDirectory));
  const templates: GuestTemplate[] = [];
  for (const template of TEMPLATES) {
    const treeDirectory = await obtain(await treeStep(template, codename));
    const step = await rootfsStep(template, { treeDirectory, kernelDirectory, envdPath });
    templates.push(await describeTemplate(template, step, await obtain(step)));
  }
  return {
    kernelPath: join(kernelDirectory, "vmlinuz"),
    kernelRelease: await readFile(join(kernelDirectory, "release"), "utf8"),
    initramfsPath: join(initramfsDirectory, "initramfs.cpio.gz"),
    kernelHash: await readFile(join(initramfsDirectory, "kernel-hash"), "utf8"),
    kernelArguments: KERNEL_ARGUMENTS,
    templates,
  };
}

async function describeTemplate(template: TemplateRecipe, step: Step, directory: string): Promise<GuestTemplate> {
  const sizes = JSON.parse(await readFile(join(directory, "rootfs.json"), "utf8")) as Pick<
    GuestTemplate,
    "virtualBytes" | "sizeBytes"
  >;
  return {
    name: template.name,
    buildId: buildId(stepHash(step)),
    rootfsPath: join(directory, "rootfs.ext4"),
    virtualBytes: sizes.virtualBytes,
    sizeBytes: sizes.sizeBytes,
    defaultUser: DEFAULT_USER.name,
    vcpus: template.vcpus,
    memoryMib: template.memoryMib,
  };
}

/** `bld_` and 20 base36 characters. */
function buildId(hash: string): string {
  const number = BigInt(`0x${createHash("sha256").update(hash).digest("hex")}`);
  return `bld_${number.toString(36).padStart(20, "0").slice(-20)}`;
}

async function makeDirectories(stateDirectory: string, stepsDirectory: string): Promise<void> {
  await mkdir(dirname(stateDirectory), { recursive: true });
  await mkdir(stateDirectory, { recursive: true, mode: 0o711 });
  await mkdir(stepsDirectory, { recursive: true });
  // The directory above may have been made by others, with less.
  await chmod(dirname(stepsDirectory), 0o755);
}

/** Builds what is missing and publishes the manifest. The caller holds the lock. */
async function build(options: EnsureGuestOptions, stepsDirectory: string): Promise<GuestManifest> {
  const { progress, signal } = options;
  await removeLeftovers(stepsDirectory);
  const archiveDirectory = join(stepsDirectory, `${TEMPORARY_PREFIX}archive`);
  let archive: Promise<DebianArchive> | undefined;
  const tools: StepTools = {
    progress,
    signal,
    archive: () => (archive ??= openArchive(archiveDirectory, signal)),
  };
  try {
    const before = await readGuestManifest(options.stateDirectory).catch(() => undefined);
    const inUse = new Set([before?.kernelPath, before?.initramfsPath].map((path) => basename(dirname(path ?? ""))));
    const manifest = await assemble(options.envdPath, async (step) => {
      const directory = await buildStep(stepsDirectory, step, tools);
      inUse.add(basename(directory));
      return directory;
    });
    await writeFileAtomic(guestManifestPath(options.stateDirectory), `${JSON.stringify(manifest, null, 2)}\n`, {
      mode: 0o644,
      name: "guest.manifest",
    });
    await removeSuperseded(stepsDirectory, inUse);
    return manifest;
  } finally {
    await remove(archiveDirectory);
  }
}

async function openArchive(directory: string, signal: AbortSignal): Promise<DebianArchive> {
  await mkdir(directory);
  return await openDebianArchive(directory, signal);
}

/** What a killed build left. */
async function removeLeftovers(stepsDirectory: string): Promise<void> {
  for (const name of await readdir(stepsDirectory)) {
    if (name.startsWith(TEMPORARY_PREFIX)) await remove(join(stepsDirectory, name));
  }
}

/**
 * Removes steps that nothing can use any more. Disk images stay: golden snapshots and sandboxes may
 * be built on them. The kernel of the manifest that was just replaced stays too: a host agent that
 * read it may still boot from it.
 */
async function removeSuperseded(stepsDirectory: string, inUse: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(stepsDirectory)) {
    if (!inUse.has(name) && !name.startsWith("rootfs-")) await remove(join(stepsDirectory, name));
  }
}
