/** Makes dist/ (or the directory that is named), the package to publish: JavaScript, declarations, README and a package.json of its own. */
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { remove, run } from "@wrenn/effects";

const HERE = import.meta.dirname;
const REPOSITORY = join(HERE, "../..");
const DIST = resolve(process.argv[2] ?? join(HERE, "dist"));

await remove(DIST);
await run([
  process.execPath,
  join(REPOSITORY, "node_modules/typescript/bin/tsc"),
  "-p",
  join(HERE, "tsconfig.build.json"),
  "--outDir",
  DIST,
]);
const { name, version, description, license } = JSON.parse(
  await readFile(join(HERE, "package.json"), "utf8"),
) as Record<string, string>;
const published = {
  name,
  version,
  description,
  license,
  type: "module",
  sideEffects: false,
  engines: { node: ">=22" },
  exports: { ".": { types: "./index.d.ts", default: "./index.js" } },
};
await writeFile(join(DIST, "package.json"), `${JSON.stringify(published, null, 2)}\n`);
await copyFile(join(HERE, "README.md"), join(DIST, "README.md"));
await copyFile(join(REPOSITORY, "LICENSE"), join(DIST, "LICENSE"));
