/**
 * Checks the documents: every relative link leads somewhere, every heading that is linked exists, every
 * path of this repository that is named in code letters exists, and every document can be found from
 * README.md.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { listDocuments } from "./list-documents.ts";

const LINK = /(?<!!)\[[^\]]*\]\(([^)\s]+)\)/g;
const NAMED_PATH = /`((?:apps|packages|crates|guest|testbed|tests|tools|docs|bench|\.ci)\/[\w./-]+)`/g;

/** @returns what is wrong, one line each */
export async function checkDocuments(root: string): Promise<string[]> {
  const texts = new Map<string, string>();
  for (const path of await listDocuments(root)) texts.set(path, await readFile(join(root, path), "utf8"));
  const problems: string[] = [];
  const linked = new Set(["README.md"]);
  for (const [path, text] of texts) {
    const prose = withoutCodeBlocks(text);
    for (const link of linksOf(prose)) {
      const target = normalize(join(dirname(path), link.path === "" ? "" : link.path));
      const document = link.path === "" ? path : target;
      if (link.path !== "") linked.add(target);
      if (!existsSync(join(root, document))) problems.push(`${path}: the link to ${link.path} leads nowhere`);
      else if (link.anchor !== undefined && !anchorsOf(texts.get(document) ?? "").has(link.anchor)) {
        problems.push(`${path}: ${document} has no heading #${link.anchor}`);
      }
    }
    for (const [, named = ""] of prose.matchAll(NAMED_PATH)) {
      if (!existsSync(join(root, named))) problems.push(`${path}: ${named} does not exist`);
    }
  }
  for (const path of texts.keys()) if (!linked.has(path)) problems.push(`${path}: no other document links to it`);
  return problems;
}

/** Links within the repository. */
export function linksOf(text: string): { path: string; anchor: string | undefined }[] {
  return [...text.matchAll(LINK)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z][a-z0-9+.-]*:/i.test(target))
    .map((target) => {
      const [path = "", anchor] = target.split("#");
      return { path: decodeURI(path), anchor };
    });
}

/** Anchors of a document's headings, as GitHub makes them. */
export function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of withoutCodeBlocks(text).matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const anchor = heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-");
    let unique = anchor;
    for (let count = 1; anchors.has(unique); count += 1) unique = `${anchor}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}

function withoutCodeBlocks(text: string): string {
  return text.replace(/^(```|~~~).*?^\1/gms, "");
}
