/** Texts and digests of files that go into a step's inputs. */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** `guest/` of this checkout. */
export const GUEST_SOURCES = join(import.meta.dirname, "..");

/** The text of a module: a changed recipe is a changed input. Pass `import.meta.filename`. */
export function recipeText(filename: string): Promise<string> {
  return readFile(filename, "utf8");
}

/** SHA-256 of a file, hex. */
export async function fileDigest(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

/** SHA-256 over the names and contents of all files below a directory, hex. */
export async function treeDigest(directory: string): Promise<string> {
  const digest = createHash("sha256");
  for (const path of await filesBelow(directory))
    digest.update(`${path}\0${await fileDigest(join(directory, path))}\n`);
  return digest.digest("hex");
}

/** Relative paths of all files below a directory, sorted. */
export async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
}
