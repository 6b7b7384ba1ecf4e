/** The frame of every page: a menu, the document, and styles for light, dark, phone and print. */

/** A heading of the menu, and the pages under it. */
export interface MenuSection {
  title: string;
  entries: { url: string; title: string }[];
}

const STYLE = `
:root{color-scheme:light dark;--ground:light-dark(#fff,#121417);--side:light-dark(#f4f5f7,#1a1d22);--line:light-dark(#d9dce1,#343b45);--text:light-dark(#1a1d21,#e6e8eb);--accent:light-dark(#1d5fd1,#7fb0ff);font:16px/1.6 system-ui,sans-serif;background:var(--ground);color:var(--text)}
*{box-sizing:border-box}body{margin:0;display:grid;grid-template:"header header" auto "nav main" 1fr/17rem minmax(0,1fr);min-height:100vh}
header{grid-area:header;display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;padding:.75rem 1.5rem;border-bottom:1px solid var(--line);background:var(--side)}
header a{text-decoration:none}.to-menu{display:none}
nav{grid-area:nav;background:var(--side);border-right:1px solid var(--line);padding:.5rem 1.5rem 2rem}nav h2{font-size:.85rem;margin:1rem 0 .25rem;opacity:.8}
nav ul{list-style:none;margin:0;padding:0}nav a{display:block;padding:.15rem 0;text-decoration:none}nav [aria-current]{font-weight:600}
main{grid-area:main}
a{color:var(--accent)}main{padding:1rem 2rem 4rem;max-width:54rem;overflow-wrap:break-word}
pre{background:var(--side);border:1px solid var(--line);border-radius:.4rem;padding:.75rem;overflow:auto}code{font-size:.9em}
table{border-collapse:collapse;display:block;overflow-x:auto}th,td{border:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
@media (max-width:48rem){body{display:block}header,nav{padding-inline:1rem}.to-menu{display:inline;margin-left:auto}nav{border:0;border-top:1px solid var(--line)}nav a{padding:.4rem 0}main{padding:1rem}}
@media print{nav,header{display:none}body{display:block}}
`;

export function layout(page: { title: string; body: string; menu: readonly MenuSection[]; current: string }): string {
  const sections = page.menu.map(({ title, entries }) => {
    const items = entries.map(({ url, title: text }) => {
      const current = url === page.current ? ' aria-current="page"' : "";
      return `<li><a href="${url}"${current}>${escape(text)}</a></li>`;
    });
    return `<h2>${escape(title)}</h2><ul>${items.join("")}</ul>`;
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
<header><a href="/guide"><strong>Wrenn</strong></a><a href="/test">Console</a><a href="/docs">API reference</a><a class="to-menu" href="#menu">Menu</a></header>
<main>${page.body}</main>
<nav id="menu" aria-label="Documents">${sections.join("")}</nav>
</body>
</html>
`;
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;").replaceAll("`", "");
}
