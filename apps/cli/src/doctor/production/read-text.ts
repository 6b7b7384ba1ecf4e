import { readFile } from "node:fs/promises";

/** A small file without the white space around it; empty when it is not there. */
export const readText = async (path: string): Promise<string> => (await readFile(path, "utf8").catch(() => "")).trim();
