/** ext4 images made and changed without mounting them. */
import { truncate, writeFile } from "node:fs/promises";
import { run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

/**
 * Makes a sparse image of a directory. It leaves no work to the guest: inode tables and journal count
 * as written (the file is all holes), so no kernel thread fills a sandbox's disk with zeros behind its
 * back. The journal is small, as all of it gets written to a sandbox's own disk sooner or later.
 */
export async function makeImage(root: string, image: string, virtualBytes: number, signal: AbortSignal): Promise<void> {
  await writeFile(image, "");
  await truncate(image, virtualBytes);
  await run(
    [
      ...(["mkfs.ext4", "-q", "-F", "-b", "4096", "-m", "0", "-J", "size=16"] as const),
      ...(["-L", "wrenn", "-E", "assume_storage_prezeroed=1,nodiscard,root_owner=0:0", "-d", root, image] as const),
    ],
    { signal, timeoutMs: 300_000 },
  );
}

/** Something to add to an image. Paths are absolute in the image and hold no blanks. */
export type ImageEntry =
  | { kind: "directory"; path: string }
  | { kind: "file"; path: string; from: string; mode: number }
  | { kind: "symlink"; path: string; target: string };

/** Adds entries, owned by root, in order; parents that the image has not got come before what is in them. */
export async function addToImage(image: string, entries: readonly ImageEntry[], signal: AbortSignal): Promise<void> {
  const commands = entries.flatMap(debugfsCommands);
  const { stderr } = await run(["debugfs", "-w", image], {
    input: commands.join("\n") + "\n",
    signal,
  });
  // debugfs ends with status 0 whatever happens; all that it says beside its banner is an error.
  const errors = stderr.split("\n").filter((line) => line !== "" && !/^debugfs \d/.test(line));
  if (errors.length > 0) throw new WrennError("internal", `Cannot add files to ${image}: ${errors.join("; ")}`);
  await run(["e2fsck", "-f", "-n", image], { signal, timeoutMs: 300_000 });
}

function debugfsCommands(entry: ImageEntry): string[] {
  switch (entry.kind) {
    case "directory":
      return [`mkdir ${entry.path}`, `set_inode_field ${entry.path} mode 040755`];
    case "file":
      return [
        `write "${entry.from}" ${entry.path}`,
        `set_inode_field ${entry.path} mode 0100${entry.mode.toString(8)}`,
      ];
    case "symlink":
      return [`symlink ${entry.path} ${entry.target}`];
  }
}
