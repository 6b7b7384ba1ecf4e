/** Finding a program like execvp(3) does. */
import { access, constants } from "node:fs/promises";
import { delimiter, join } from "node:path";

/**
 * @param searchPath directories as in PATH
 * @returns its path, or undefined when it is not installed
 */
export async function findProgram(program: string, searchPath: string): Promise<string | undefined> {
  const candidates = program.includes("/")
    ? [program]
    : searchPath.split(delimiter).map((directory) => join(directory, program));
  for (const candidate of candidates) {
    const found = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return candidate;
  }
  return undefined;
}
