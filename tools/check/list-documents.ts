import { glob } from "node:fs/promises";

/** The Markdown files of the repository, relative to it. */
export async function listDocuments(root: string): Promise<string[]> {
  const excluded = (path: string): boolean => /(?:^|\/)(?:node_modules|target|dist|\.git)(?:\/|$)/.test(path);
  const found = await Array.fromAsync(glob("**/*.md", { cwd: root, exclude: excluded }));
  return found.toSorted();
}
