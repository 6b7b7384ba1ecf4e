/**
 * Step `tree-<template>`: the template's Debian packages, its files and its user, as an ext4 image.
 * The guest agent is not in it, so that a new agent does not need the packages again.
 *
 *     tree.ext4      sparse
 *     packages       `name version` of each package, one a line
 */
import { lstat, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { remove, run } from "@wrenn/effects";
import { makeImage } from "./ext4-image.ts";
import { formatBytes } from "./format.ts";
import { reportInstall } from "./install-progress.ts";
import { fileDigest, GUEST_SOURCES, recipeText, treeDigest } from "./recipe.ts";
import type { Step } from "./step.ts";
import { ROOTFS_VIRTUAL_BYTES, type TemplateRecipe } from "./templates.ts";
import { addOverlay, addUser, tidy } from "./tree-files.ts";

/** Keeps documentation out; copyright files stay. */
const DROP_DOCS = join(GUEST_SOURCES, "tree/drop-docs");

/** Later releases come with /usr merged; here a package would do it, and bring perl for that. */
const MERGE_USR = ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "--include=usr-is-merged"];

/** @param codename the Debian release that the packages come from */
export async function treeStep(template: TemplateRecipe, codename: string): Promise<Step> {
  const packages = Object.keys(template.packages).sort();
  const overlays = template.overlays.map((name) => join(GUEST_SOURCES, "tree", name));
  const recipes = ["tree.ts", "tree-files.ts", "ext4-image.ts"].map((name) =>
    recipeText(join(import.meta.dirname, name)),
  );
  return {
    name: `tree-${template.name}`,
    detail: `Debian packages of template ${template.name}`,
    inputs: {
      codename,
      variant: template.variant,
      packages: packages.join(" "),
      overlays: (await Promise.all(overlays.map(treeDigest))).join(" "),
      dropDocs: await fileDigest(DROP_DOCS),
      virtualBytes: String(ROOTFS_VIRTUAL_BYTES),
      recipe: (await Promise.all(recipes)).join("\n"),
    },
    async build(directory, { archive, progress, signal }) {
      const debian = await archive();
      const root = join(directory, "root");
      // It dies with this process, and in mount and process namespaces of its own: however the build
      // is killed, no mount or process of it is left.
      await run(
        [
          ...(["setpriv", "--pdeathsig", "KILL"] as const),
          ...(["unshare", "--mount", "--pid", "--fork", "--kill-child", "mmdebstrap"] as const),
          "--verbose",
          "--mode=root",
          "--format=directory",
          `--variant=${template.variant}`,
          `--include=${packages.join(",")}`,
          `--aptopt=${debian.downloadConfPath}`,
          "--dpkgopt=force-unsafe-io",
          // The index is fetched once for all steps.
          "--skip=update",
          `--setup-hook=sync-in "${debian.listsPath}" /var/lib/apt/lists`,
          ...(codename === "bookworm" ? MERGE_USR : []),
          `--extract-hook=${DROP_DOCS}`,
          debian.codename,
          root,
          debian.sourcesListPath,
        ],
        {
          signal,
          timeoutMs: 1_800_000,
          env: { TMPDIR: directory, LC_ALL: "C.UTF-8" },
          onLine: reportInstall(progress),
        },
      );
      const installed = installedPackages(await readFile(join(root, "var/lib/dpkg/status"), "utf8"));
      await writeFile(join(directory, "packages"), installed.join("\n") + "\n");
      for (const overlay of overlays) await addOverlay(overlay, root);
      await addUser(root);
      await tidy(root);

      const image = join(directory, "tree.ext4");
      await makeImage(root, image, ROOTFS_VIRTUAL_BYTES, signal);
      await remove(root);
      return `${installed.length} packages, ${formatBytes((await lstat(image)).blocks * 512)}`;
    },
  };
}

/** `name version` of each installed package in dpkg's status file, sorted. */
export function installedPackages(status: string): string[] {
  const lines = status.split("\n\n").map((stanza) => {
    const name = /^Package: (.*)$/m.exec(stanza)?.[1];
    const version = /^Version: (.*)$/m.exec(stanza)?.[1];
    return name !== undefined && version !== undefined && /^Status: .* installed$/m.test(stanza)
      ? `${name} ${version}`
      : undefined;
  });
  return lines.filter((line) => line !== undefined).sort();
}
