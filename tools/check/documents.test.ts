import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { anchorsOf, checkDocuments } from "./documents.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "wrenn-documents-"));
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

async function write(files: Record<string, string>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
}

it("finds nothing wrong with links, anchors and paths that exist", async () => {
  await write({
    "README.md":
      "[guide](docs/guide.md#the-first-start) [self](#here) <https://x.y> [out](https://x.y/z)\n\n# Here\n\n`apps/cli`\n\n```\n[no link](nowhere.md) `apps/none`\n```\n",
    "docs/guide.md": "# The first start!\n\n[back](../README.md)\n",
    "apps/cli/x.ts": "",
  });
  expect(await checkDocuments(root)).toEqual([]);
});

it("finds dead links, missing headings, missing paths and documents that nothing leads to", async () => {
  await write({
    "README.md": "[a](none.md) [b](b.md#none) `tools/none.ts`",
    "b.md": "# B\n",
    "docs/lost.md": "# Lost\n",
  });
  expect(await checkDocuments(root)).toEqual([
    "README.md: the link to none.md leads nowhere",
    "README.md: b.md has no heading #none",
    "README.md: tools/none.ts does not exist",
    "docs/lost.md: no other document links to it",
  ]);
});

it("makes anchors as GitHub does", () => {
  expect([...anchorsOf("# `run` & more\n## Twice\n## Twice\n```\n# no heading\n```\n")]).toEqual([
    "run--more",
    "twice",
    "twice-1",
  ]);
});
