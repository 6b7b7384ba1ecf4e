/** Every link of the site's pages leads to a page, to a heading of it, or to another part of the server; every page is led to. */
import { readSite } from "./site.ts";

/** What the same server has beside the site. */
const ELSEWHERE = new Set(["/test", "/docs", "/openapi.yaml", "/openapi.json"]);

const ROOT = "/guide";

/** @returns what is wrong, one line each */
export async function checkSite(root: string): Promise<string[]> {
  const pages = new Map((await readSite(root)).map(({ url, html }) => [url, html]));
  const problems: string[] = [];
  const linked = new Set([ROOT]);
  for (const [url, html] of pages) {
    for (const [, href = ""] of html.matchAll(/<a href="([^"]*)"/g)) {
      if (!href.startsWith("/") && !/^#./.test(href)) continue;
      const [path = "", anchor] = href.split("#");
      const target = path === "" ? html : pages.get(path);
      if (path !== url) linked.add(path);
      if (target === undefined && !ELSEWHERE.has(path)) problems.push(`${url}: ${href} leads nowhere`);
      if (target !== undefined && anchor !== undefined && !target.includes(`id="${anchor}"`))
        problems.push(`${url}: ${href} has no such heading`);
    }
  }
  for (const url of pages.keys()) if (!linked.has(url)) problems.push(`${url}: no other page leads to it`);
  return problems;
}
