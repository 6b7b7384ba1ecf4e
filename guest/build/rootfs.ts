/**
 * Step `rootfs-<template>`: the template's tree with what makes it a guest: wrenn-init, the agent and
 * the static programs that they start with, all in one directory out of every PATH.
 *
 *     rootfs.ext4     read-only (0444), sparse
 *     rootfs.json     its sizes
 */
import { chmod, lstat, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { run } from "@wrenn/effects";
import { addToImage, type ImageEntry } from "./ext4-image.ts";
import { formatBytes } from "./format.ts";
import { fileDigest, GUEST_SOURCES, recipeText } from "./recipe.ts";
import type { Step } from "./step.ts";
import { ROOTFS_VIRTUAL_BYTES, type TemplateRecipe } from "./templates.ts";

const OURS = "/usr/local/lib/wrenn";

/** The parts of an image. */
export interface RootfsParts {
  /** What step `tree-<template>` made. */
  treeDirectory: string;
  /** What step `kernel` made: busybox and tini. */
  kernelDirectory: string;
  envdPath: string;
}

export async function rootfsStep(template: TemplateRecipe, parts: RootfsParts): Promise<Step> {
  const { treeDirectory, kernelDirectory, envdPath } = parts;
  const entries = guestEntries(kernelDirectory, envdPath);
  const files = entries.filter((entry) => entry.kind === "file");
  return {
    name: `rootfs-${template.name}`,
    detail: `disk image of template ${template.name}`,
    inputs: {
      tree: basename(treeDirectory),
      packages: await readFile(join(treeDirectory, "packages"), "utf8"),
      files: (await Promise.all(files.map(async (file) => `${file.path} ${await fileDigest(file.from)}`))).join("\n"),
      recipe: await recipeText(import.meta.filename),
    },
    async build(directory, { signal }) {
      const image = join(directory, "rootfs.ext4");
      await run(["cp", "--sparse=always", "--reflink=auto", join(treeDirectory, "tree.ext4"), image], {
        signal,
        timeoutMs: 300_000,
      });
      await addToImage(image, entries, signal);
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

function guestEntries(kernelDirectory: string, envdPath: string): ImageEntry[] {
  return [
    { kind: "directory", path: OURS },
    { kind: "file", path: `${OURS}/wrenn-init`, from: join(GUEST_SOURCES, "wrenn-init"), mode: 0o755 },
    { kind: "file", path: `${OURS}/fstab`, from: join(GUEST_SOURCES, "fstab"), mode: 0o644 },
    { kind: "file", path: `${OURS}/busybox`, from: join(kernelDirectory, "busybox"), mode: 0o755 },
    { kind: "file", path: `${OURS}/tini`, from: join(kernelDirectory, "tini"), mode: 0o755 },
    { kind: "file", path: `${OURS}/envd`, from: envdPath, mode: 0o755 },
    // The links that udev would make; wrenn-init copies them to /dev.
    { kind: "directory", path: `${OURS}/dev` },
    { kind: "symlink", path: `${OURS}/dev/fd`, target: "/proc/self/fd" },
    { kind: "symlink", path: `${OURS}/dev/stdin`, target: "/proc/self/fd/0" },
    { kind: "symlink", path: `${OURS}/dev/stdout`, target: "/proc/self/fd/1" },
    { kind: "symlink", path: `${OURS}/dev/stderr`, target: "/proc/self/fd/2" },
  ];
}
