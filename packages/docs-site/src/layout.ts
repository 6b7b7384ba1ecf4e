/** The frame of every page: a menu, the document, and styles for light, dark, phone and print. */

interface Entry {
  url: string;
  title: string;
  path: string;
}

const SECTIONS: readonly [string, (path: string) => boolean][] = [
  ["Begin", (path) => path === "README.md" || path === "docs/README.md" || path.startsWith("docs/guides/")],
  ["Reference", (path) => path.startsWith("docs/reference/")],
  ["Parts", (path) => path.startsWith("crates/") || path.startsWith("packages/")],
  ["Measured", (path) => path.startsWith("bench/") || path === "docs/benchmarks.md"],
  ["Contribute", (path) => path === "CONTRIBUTING.md"],
];

const STYLE = `
:root{color-scheme:light dark;--ground:light-dark(#fff,#121417);--side:light-dark(#f4f5f7,#1a1d22);--line:light-dark(#d9dce1,#343b45);--text:light-dark(#1a1d21,#e6e8eb);--accent:light-dark(#1d5fd1,#7fb0ff);font:16px/1.6 system-ui,sans-serif;background:var(--ground);color:var(--text)}
*{box-sizing:border-box}body{margin:0;display:grid;grid-template-columns:16rem minmax(0,1fr);min-height:100vh}
nav{background:var(--side);border-right:1px solid var(--line);padding:1rem}nav h2{font-size:.85rem;margin:1rem 0 .25rem;opacity:.75}
nav ul{list-style:none;margin:0;padding:0}nav a{display:block;padding:.15rem 0;text-decoration:none}nav [aria-current]{font-weight:600}
a{color:var(--accent)}main{padding:1rem 2rem 4rem;max-width:54rem;overflow-wrap:break-word}
pre{background:var(--side);border:1px solid var(--line);border-radius:.4rem;padding:.75rem;overflow:auto}code{font-size:.9em}
table{border-collapse:collapse;display:block;overflow-x:auto}th,td{border:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
@media (max-width:48rem){body{display:block}nav{border-right:0;border-bottom:1px solid var(--line)}main{padding:1rem}}
@media print{nav{display:none}body{display:block}}
`;

export function layout(page: { title: string; body: string; menu: readonly Entry[]; current: string }): string {
  const sections = SECTIONS.map(([name, belongs]) => {
    const entries = page.menu.filter(({ path }) => belongs(path));
    const items = entries.map(({ url, title }) => {
      const current = url === page.current ? ' aria-current="page"' : "";
      return `<li><a href="${url}"${current}>${escape(title)}</a></li>`;
    });
    return items.length === 0 ? "" : `<h2>${name}</h2><ul>${items.join("")}</ul>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(page.title)} · Wrenn</title>
<style>${STYLE}</style>
</head>
<body>
<nav aria-label="Documents"><a href="/guide"><strong>Wrenn</strong></a> <a href="/test">Console</a> <a href="/docs">API reference</a>${sections.join("")}</nav>
<main>${page.body}</main>
</body>
</html>
`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;").replaceAll("`", "");
}
