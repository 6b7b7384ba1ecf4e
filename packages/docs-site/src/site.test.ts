import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkSite, readSite } from "./index.ts";

const REPOSITORY = join(import.meta.dirname, "../../..");

describe("the documentation site", () => {
  it("has every document, and no link that leads nowhere", async () => {
    const pages = await readSite(REPOSITORY);
    expect(pages.map(({ url }) => url)).toEqual(
      expect.arrayContaining([
        "/guide",
        "/guide/README",
        "/guide/docs/guides/getting-started",
        "/guide/docs/how-it-works",
        "/guide/docs/proof",
        "/guide/docs/benchmarks",
      ]),
    );
    for (const { html } of pages) {
      const headings = [...(html.split("<nav")[1] ?? "").matchAll(/<h2>(.*?)<\/h2>/g)].map(([, heading]) => heading);
      expect(headings).toEqual(["Guides", "Reference", "How it works", "Proof and benchmarks", "Taking part"]);
    }
    expect(await checkSite(REPOSITORY)).toEqual([]);
  });

  it("finds links to pages and headings that are not there, and pages that nothing leads to", async () => {
    const root = await mkdtemp(join(tmpdir(), "wrenn-site-"));
    await mkdir(join(root, "docs"));
    await writeFile(join(root, "docs/README.md"), "# A\n\n[b](b.md#there) [c](b.md#gone) [d](/guide/none)\n");
    await writeFile(join(root, "docs/b.md"), "# B <x>\n\n## There\n\n[itself](#there) [no page](../LICENSE)\n");
    await writeFile(join(root, "docs/lost.md"), "# Lost\n\n[it](lost.md)\n");
    expect(await checkSite(root)).toEqual([
      "/guide: /guide/docs/b#gone has no such heading",
      "/guide: /guide/none leads nowhere",
      "/guide/docs/lost: no other page leads to it",
    ]);
    await rm(root, { recursive: true });
  });
});
