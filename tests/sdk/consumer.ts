/** A project of somebody else that uses the SDK: an empty directory outside of the workspace, with the packed SDK installed. */
import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { remove, run } from "../../packages/effects/src/index.ts";

const REPOSITORY = join(import.meta.dirname, "../..");
const SETTINGS = {
  target: "ES2022",
  lib: ["ES2023", "ESNext.Disposable", "DOM", "DOM.Iterable", "DOM.AsyncIterable"],
  types: [],
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
  outDir: "built",
};

export interface Consumer extends AsyncDisposable {
  directory: string;
  /** What the tarball holds, by name. */
  packed: string[];
  /** Type-checks a module of theirs as two resolvers of packages see it, and compiles it: `built/<name>.js`. */
  compile(name: string, source: string): Promise<void>;
}

export async function newConsumer(): Promise<Consumer> {
  const directory = await mkdtemp(join(tmpdir(), "wrenn-sdk-"));
  const dist = join(directory, "dist");
  await run([process.execPath, join(REPOSITORY, "packages/sdk/build.ts"), dist]);
  const npm = (...words: string[]) =>
    run(["npm", ...words, "--offline", "--no-audit", "--no-fund"], { cwd: directory });
  const { stdout } = await npm("pack", dist, "--json");
  const [tarball] = JSON.parse(stdout) as { filename: string; files: { path: string }[] }[];
  if (tarball === undefined) throw new Error("npm packed nothing");
  await writeFile(join(directory, "package.json"), JSON.stringify({ name: "theirs", private: true, type: "module" }));
  await npm("install", `./${tarball.filename}`);
  await mkdir(join(directory, "source"));
  return {
    directory,
    packed: tarball.files.map(({ path }) => path),
    async compile(name, source) {
      await writeFile(join(directory, "source", `${name}.ts`), source);
      const { stdout: settings } = await typeScript(directory, name, { module: "NodeNext" });
      if (settings !== "") throw new Error(settings);
      await typeScript(directory, name, { module: "ESNext", moduleResolution: "Bundler", noEmit: true });
    },
    async [Symbol.asyncDispose]() {
      await remove(directory);
    },
  };
}

async function typeScript(directory: string, name: string, settings: object) {
  const project = join(directory, `tsconfig.${name}.json`);
  const compilerOptions = { ...SETTINGS, ...settings, rootDir: "source" };
  await writeFile(project, JSON.stringify({ compilerOptions, files: [`source/${name}.ts`] }));
  return await run([process.execPath, join(REPOSITORY, "node_modules/typescript/bin/tsc"), "-p", project], {
    cwd: directory,
  });
}

/** The blocks of TypeScript of a document as one module. */
export async function snippetsOf(document: string): Promise<string> {
  const text = await readFile(join(REPOSITORY, document), "utf8");
  const blocks = [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, block = ""]) => block);
  return `declare const process: { env: Record<string, string | undefined> };\n${blocks.join("\n")}`;
}
