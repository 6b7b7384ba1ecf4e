/** Finding a program like execvp(3) does. */
import { access, constants } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";

/** @returns its path, or undefined when it is not installed */
export async function findProgram(name: string, searchPath: string): Promise<string | undefined> {
  const candidates = isAbsolute(name) ? [name] : searchPath.split(delimiter).map((directory) => join(directory, name));
  for (const candidate of candidates) {
    const found = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return candidate;
  }
  return undefined;
}
