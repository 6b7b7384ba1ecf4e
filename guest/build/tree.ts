/**
 * Step `tree-<template>`: the template's Debian packages, installed by mmdebstrap.
 *
 *     tree.tar.zst
 *     packages       `name version` of each package, one a line
 */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "@wrenn/effects";
import { formatBytes } from "./format.ts";
import type { GuestProgress } from "./progress.ts";
import { recipeText } from "./recipe.ts";
import type { Step } from "./step.ts";
import type { TemplateRecipe } from "./templates.ts";

/** Times of files in the tree are not later than this, so that equal packages give equal trees. */
const SOURCE_DATE_EPOCH = "1735689600"; // 2025-01-01

/** What no sandbox reads. Copyright files stay. */
const EXCLUDED = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*"];
const KEPT = ["/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias"];

/** @param codename the Debian release that the packages come from */
export async function treeStep(template: TemplateRecipe, codename: string): Promise<Step> {
  const packages = Object.keys(template.packages).sort();
  return {
    name: `tree-${template.name}`,
    detail: `Debian packages of template ${template.name}`,
    inputs: {
      codename,
      variant: template.variant,
      packages: packages.join(" "),
      recipe: await recipeText(import.meta.filename),
    },
    async build(directory, { archive, progress, signal }) {
      const debian = await archive();
      const output = join(directory, "tree.tar.zst");
      const packageList = join(directory, "packages");
      // In mount and process namespaces of its own: however it is killed, no mount or process is left.
      await run(
        [
          ...(["unshare", "--mount", "--pid", "--fork", "--kill-child", "mmdebstrap"] as const),
          "--verbose",
          "--mode=root",
          `--variant=${template.variant}`,
          `--include=${packages.join(",")}`,
          `--aptopt=${debian.downloadConfPath}`,
          "--dpkgopt=force-unsafe-io",
          ...EXCLUDED.map((path) => `--dpkgopt=path-exclude=${path}`),
          ...KEPT.map((path) => `--dpkgopt=path-include=${path}`),
          "--customize-hook=download /var/lib/dpkg/status " + packageList,
          debian.codename,
          output,
          debian.sourcesListPath,
        ],
        {
          signal,
          timeoutMs: 1_800_000,
          env: { TMPDIR: directory, SOURCE_DATE_EPOCH, LC_ALL: "C.UTF-8" },
          onLine: reportInstall(progress),
        },
      );
      const installed = installedPackages(await readFile(packageList, "utf8"));
      await writeFile(packageList, installed.join("\n") + "\n");
      return `${installed.length} packages, ${formatBytes((await stat(output)).size)} packed`;
    },
  };
}

/** `name version` of each package in dpkg's status file, sorted. */
export function installedPackages(status: string): string[] {
  return status
    .split("\n\n")
    .map((stanza) => `${/^Package: (.*)$/m.exec(stanza)?.[1]} ${/^Version: (.*)$/m.exec(stanza)?.[1]}`)
    .filter((line) => !line.includes("undefined"))
    .sort();
}

/** Turns the words of apt and dpkg into bytes downloaded and packages installed. */
export function reportInstall(progress: Pick<GuestProgress, "update">): (line: string) => void {
  let bytes = 0;
  let totalBytes = 0;
  let packages = 0;
  let totalPackages = 0;
  return (line) => {
    const need = /^Need to get ([\d.,]+) ([kMG]?)B/.exec(line);
    const got = /^Get:\d+ .* \[([\d.,]+) ([kMG]?)B\]$/.exec(line);
    const count = /, (\d+) newly installed/.exec(line);
    if (count !== null) totalPackages += Number(count[1]);
    if (need !== null) totalBytes += aptBytes(need[1], need[2]);
    if (got !== null && totalBytes > 0) {
      bytes += aptBytes(got[1], got[2]);
      progress.update(bytes, totalBytes);
    }
    if (line.startsWith("Setting up ")) {
      packages += 1;
      progress.update(packages, totalPackages, "packages");
    }
  };
}

/** apt counts in powers of ten. */
function aptBytes(value = "0", prefix = ""): number {
  const factor = { "": 1, k: 1e3, M: 1e6, G: 1e9 }[prefix] ?? 1;
  return Number(value.replaceAll(",", "")) * factor;
}
