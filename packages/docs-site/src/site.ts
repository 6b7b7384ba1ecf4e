/** The repository's documents as pages of one site, below /guide. */
import { glob, readFile } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { Marked, type Tokens } from "marked";
import { gfmHeadingId } from "marked-gfm-heading-id";
import { layout, type MenuSection } from "./layout.ts";

const DOCUMENTS = [
  "README.md",
  "CONTRIBUTING.md",
  "docs/**/*.md",
  "crates/*/README.md",
  "packages/*/README.md",
  "bench/*/README.md",
  "examples/*/README.md",
];
/** Files that are no documents, and where the server has them. */
const SERVED: Readonly<Record<string, string>> = { "docs/reference/openapi.yaml": "/openapi.yaml" };
/** Where a link to a file that is no document leads: it is shown as text. */
const NO_PAGE = "";
/** Where the site begins; what it lists under its headings is the menu. */
const INDEX = "docs/README.md";

export interface SitePage {
  /** Such as `/guide/docs/reference/api`. */
  url: string;
  title: string;
  html: string;
}

/** Renders every document. `root` is the repository. */
export async function readSite(root: string): Promise<SitePage[]> {
  const texts = new Map<string, string>();
  for await (const path of glob(DOCUMENTS, { cwd: root, exclude: (name) => name.includes("node_modules") }))
    texts.set(path, await readFile(join(root, path), "utf8"));
  const menu = menuOf(texts.get(INDEX) ?? "", texts);
  return [...texts].map(([path, text]) => ({
    url: urlOf(path),
    title: titleOf(text),
    html: layout({ title: titleOf(text), body: renderDocument(path, text, texts), menu, current: urlOf(path) }),
  }));
}

function menuOf(index: string, texts: ReadonlyMap<string, string>): MenuSection[] {
  const menu: MenuSection[] = [];
  for (const [, heading, title = "", href = ""] of index.matchAll(/^## (.+)$|^- \[(.+?)\]\((.+?)\)/gm)) {
    if (heading !== undefined) menu.push({ title: heading, entries: [] });
    else menu.at(-1)?.entries.push({ url: hrefOf(INDEX, href, texts), title });
  }
  return menu;
}

function urlOf(path: string): string {
  return path === INDEX ? "/guide" : `/guide/${path.replace(/\.md$/, "")}`;
}

function titleOf(text: string): string {
  return /^# +(.+)$/m.exec(text)?.[1] ?? "Wrenn";
}

function renderDocument(path: string, text: string, texts: ReadonlyMap<string, string>): string {
  const marked = new Marked(gfmHeadingId(), {
    async: false,
    walkTokens(token) {
      if (token.type === "link") (token as Tokens.Link).href = hrefOf(path, (token as Tokens.Link).href, texts);
    },
    renderer: {
      link({ href, tokens }) {
        return href === NO_PAGE ? this.parser.parseInline(tokens) : false;
      },
    },
  });
  return marked.parse(text) as string;
}

/** A link between documents as one between pages; a link to another file of the repository has no page. */
function hrefOf(from: string, href: string, texts: ReadonlyMap<string, string>): string {
  if (/^[a-z][a-z0-9+.-]*:|^\/|^#/i.test(href)) return href;
  const [path = "", anchor] = href.split("#");
  const target = normalize(join(dirname(from), decodeURI(path)));
  const url = SERVED[target] ?? (texts.has(target) ? urlOf(target) : undefined);
  return url === undefined ? NO_PAGE : url + (anchor === undefined ? "" : `#${anchor}`);
}
