/**
 * The working set of a layer: which pages a guest of it asks for first, in a file of its directory that the pager
 * writes and reads (docs/reference/pager.md). It is a guess, and the one file there that may come later, be
 * replaced, or be missing: nothing of what a layer holds depends on it.
 */
import { dirname, join } from "node:path";
import { hardLink, statIfExists } from "@wrenn/effects";
import type { Layer } from "./layer.ts";

export const workingSetPathOf = (directory: string): string => join(directory, "working-set");

/** Where the memory is that a layer's guest maps: the layer's own directory when its memory is whole. */
export const imageDirectoryOf = ({ directory, meta }: Layer): string =>
  meta.memory === undefined ? directory : dirname(meta.memory.image);

/** What the guest of a layer is given: the layer's own set, or that of its image, a template's as a rule. */
export async function findWorkingSet(layer: Layer): Promise<string | undefined> {
  return (await workingSetIn(layer.directory)) ?? (await workingSetIn(imageDirectoryOf(layer)));
}

export async function workingSetIn(directory: string): Promise<string | undefined> {
  const path = workingSetPathOf(directory);
  return (await statIfExists(path)) === undefined ? undefined : path;
}

/** Lets the layer in `to` have the set in `from` too, if there is one. */
export async function shareWorkingSet(from: string, to: string): Promise<void> {
  const path = await workingSetIn(from);
  if (path !== undefined) await hardLink(path, workingSetPathOf(to), "working-set.link");
}
