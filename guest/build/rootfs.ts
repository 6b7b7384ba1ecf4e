/**
 * Step `rootfs-<template>`: the template's tree with the guest's own files, as an ext4 image.
 *
 *     rootfs.ext4     read-only (0444), sparse
 *     rootfs.json     its sizes
 */
import { chmod, chown, copyFile, cp, lstat, mkdir, readFile, symlink, truncate, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { remove, rename, run, statIfExists } from "@wrenn/effects";
import { formatBytes } from "./format.ts";
import { fileDigest, filesBelow, GUEST_SOURCES, recipeText, treeDigest } from "./recipe.ts";
import type { Step } from "./step.ts";
import { DEFAULT_USER, ROOTFS_VIRTUAL_BYTES, type TemplateRecipe } from "./templates.ts";

const OVERLAYS = join(GUEST_SOURCES, "rootfs");

/** Where the guest keeps what is ours, out of every PATH. */
const OURS = "usr/local/lib/wrenn";

/** The parts of an image. */
export interface RootfsParts {
  /** What step `tree-<template>` made. */
  treeDirectory: string;
  /** What step `kernel` made: busybox and tini. */
  kernelDirectory: string;
  envdPath: string;
}

export async function rootfsStep(template: TemplateRecipe, parts: RootfsParts): Promise<Step> {
  const overlays = template.overlays.map((name) => join(OVERLAYS, name));
  return {
    name: `rootfs-${template.name}`,
    detail: `disk image of template ${template.name}`,
    inputs: {
      tree: basename(parts.treeDirectory),
      packages: await readFile(join(parts.treeDirectory, "packages"), "utf8"),
      kernel: basename(parts.kernelDirectory),
      envd: await fileDigest(parts.envdPath),
      overlays: (await Promise.all(overlays.map(treeDigest))).join(" "),
      virtualBytes: String(ROOTFS_VIRTUAL_BYTES),
      recipe: await recipeText(import.meta.filename),
    },
    async build(directory, { signal }) {
      const root = join(directory, "root");
      await mkdir(root);
      await run(
        [
          "tar",
          "--extract",
          "--zstd",
          "--numeric-owner",
          "--xattrs",
          "--xattrs-include=*",
          "--file",
          join(parts.treeDirectory, "tree.tar.zst"),
          "--directory",
          root,
        ],
        { signal, timeoutMs: 300_000 },
      );
      for (const overlay of overlays) await addOverlay(overlay, root);
      await addPrograms(root, parts);
      await addUser(root);
      await tidy(root);

      const image = join(directory, "rootfs.ext4");
      await makeImage(root, image, signal);
      await remove(root);
      await chmod(image, 0o444);
      const sizeBytes = (await lstat(image)).blocks * 512;
      await writeFile(
        join(directory, "rootfs.json"),
        JSON.stringify({ virtualBytes: ROOTFS_VIRTUAL_BYTES, sizeBytes }),
      );
      return formatBytes(sizeBytes);
    },
  };
}

/** Copies the files of an overlay; modes are ours to say, whatever the umask of the checkout was. */
async function addOverlay(overlay: string, root: string): Promise<void> {
  for (const path of await filesBelow(overlay)) {
    const target = join(root, path);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await remove(target);
    await copyFile(join(overlay, path), target);
    await chmod(target, path.startsWith("etc/sudoers.d/") ? 0o440 : 0o644);
  }
}

/** wrenn-init, envd and the static programs that they start with, and the links that udev would make. */
async function addPrograms(root: string, parts: RootfsParts): Promise<void> {
  const ours = join(root, OURS);
  await chmod(join(ours, "wrenn-init"), 0o755);
  for (const [name, from] of [
    ["busybox", join(parts.kernelDirectory, "busybox")],
    ["tini", join(parts.kernelDirectory, "tini")],
    ["envd", parts.envdPath],
  ] as const) {
    await copyFile(from, join(ours, name));
    await chmod(join(ours, name), 0o755);
  }
  await mkdir(join(ours, "dev"), { mode: 0o755 });
  for (const [name, target] of Object.entries({ fd: "", stdin: "/0", stdout: "/1", stderr: "/2" })) {
    await symlink(`/proc/self/fd${target}`, join(ours, "dev", name));
  }
}

/** Adds the default user by its lines, as `minimal` has no useradd. */
async function addUser(root: string): Promise<void> {
  const { name, uid, home } = DEFAULT_USER;
  await addLine(join(root, "etc/passwd"), `${name}:x:${uid}:${uid}::${home}:/bin/bash`);
  await addLine(join(root, "etc/group"), `${name}:x:${uid}:`);
  await addLine(join(root, "etc/shadow"), `${name}:*:20000:0:99999:7:::`);
  await addLine(join(root, "etc/gshadow"), `${name}:!::`);

  // A login shell's farewell would cost every command a process.
  await remove(join(root, "etc/skel/.bash_logout"));
  const homeDirectory = join(root, home);
  await mkdir(homeDirectory, { mode: 0o755 });
  await cp(join(root, "etc/skel"), homeDirectory, { recursive: true });
  await cp(join(root, "etc/skel"), join(root, "root"), { recursive: true, force: true });
  await chown(homeDirectory, uid, uid);
  for (const path of await filesBelow(homeDirectory)) await chown(join(homeDirectory, path), uid, uid);
}

async function addLine(path: string, line: string): Promise<void> {
  const text = (await statIfExists(path)) === undefined ? "" : await readFile(path, "utf8");
  await writeFile(path, `${text}${line}\n`);
}

/** Removes what the build left: settings of this host's apt, logs and caches. */
async function tidy(root: string): Promise<void> {
  await remove(join(root, "etc/apt/apt.conf.d/99mmdebstrap"));
  const sources = join(root, "etc/apt/sources.list.d/0000debian.list");
  if ((await statIfExists(sources)) !== undefined) await rename(sources, join(root, "etc/apt/sources.list"));
  const dpkgSettings = join(root, "etc/dpkg/dpkg.cfg.d/99mmdebstrap");
  const kept = (await readFile(dpkgSettings, "utf8")).split("\n").filter((line) => line.startsWith("path-"));
  await writeFile(join(root, "etc/dpkg/dpkg.cfg.d/excludes"), kept.join("\n") + "\n");
  for (const path of [
    dpkgSettings,
    join(root, "var/cache/debconf"),
    join(root, "var/cache/ldconfig"),
    join(root, "var/log"),
  ])
    await remove(path);
  await mkdir(join(root, "var/cache/debconf"), { mode: 0o755 });
  await mkdir(join(root, "var/log"), { mode: 0o755 });
  await writeFile(join(root, "etc/machine-id"), "", { mode: 0o444 });
  await writeFile(join(root, "etc/resolv.conf"), "nameserver 169.254.0.22\n", { mode: 0o644 });
}

/**
 * ext4 without work left for the guest: inode tables and journal count as written (the file is all
 * holes), so no kernel thread fills a sandbox's disk with zeros behind its back. A small journal
 * keeps each sandbox's own disk small, as all of it gets written sooner or later.
 */
async function makeImage(root: string, image: string, signal: AbortSignal): Promise<void> {
  await writeFile(image, "");
  await truncate(image, ROOTFS_VIRTUAL_BYTES);
  await run(
    [
      ...(["mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-J", "size=16"] as const),
      ...(["-L", "wrenn", "-E", "assume_storage_prezeroed=1,nodiscard,root_owner=0:0", "-d", root, image] as const),
    ],
    { signal, timeoutMs: 300_000 },
  );
}
