/** Which files of an unpacked kernel package have to be loaded, and in which order. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

/** A module in load order. */
export interface KernelModule {
  /** With underscores, as the kernel names it. */
  name: string;
  content: Buffer;
}

/**
 * The wanted modules and what they depend on, dependencies first; those built into the kernel are left out.
 * @param directory `lib/modules/<release>` of the package
 * @throws WrennError `internal` when the kernel has a module neither as a file nor built in
 */
export async function modulesInLoadOrder(directory: string, wanted: readonly string[]): Promise<KernelModule[]> {
  const builtIn = new Set((await readFile(join(directory, "modules.builtin"), "utf8")).split("\n").map(moduleName));
  const files = new Map<string, string>();
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && /\.ko(\.xz)?$/.test(entry.name))
      files.set(moduleName(entry.name), join(entry.parentPath, entry.name));
  }

  const ordered = new Map<string, KernelModule>();
  async function add(name: string): Promise<void> {
    if (builtIn.has(name) || ordered.has(name)) return;
    const file = files.get(name);
    if (file === undefined) throw new WrennError("internal", `Cannot find the kernel module ${name} in ${directory}`);
    const content = await readModule(file);
    for (const dependency of dependencies(content)) await add(dependency);
    ordered.set(name, { name, content });
  }
  for (const name of wanted) await add(name);
  return [...ordered.values()];
}

function moduleName(path: string): string {
  return path
    .replace(/^.*\//, "")
    .replace(/\.ko(\.xz)?$/, "")
    .replaceAll("-", "_");
}

async function readModule(file: string): Promise<Buffer> {
  if (!file.endsWith(".xz")) return await readFile(file);
  await run(["xz", "--decompress", file]);
  return await readFile(file.replace(/\.xz$/, ""));
}

/** The `depends=` line of the module's `.modinfo` section: NUL-terminated `key=value` texts. */
export function dependencies(module: Buffer): string[] {
  const start = module.indexOf("\0depends=");
  if (start < 0) return [];
  const from = start + "\0depends=".length;
  const list = module.toString("latin1", from, module.indexOf(0, from));
  return list.split(",").filter(Boolean).map(moduleName);
}
