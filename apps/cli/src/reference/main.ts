/** Writes the generated part of docs/reference/cli.md. */
import { readFile, writeFile } from "node:fs/promises";
import { COMMANDS } from "../commands/index.ts";
import { MARKER, renderCommands } from "./commands.ts";

const path = new URL("../../../../docs/reference/cli.md", import.meta.url);
const [written = ""] = (await readFile(path, "utf8")).split(MARKER);
await writeFile(path, `${written}${MARKER}\n\n${renderCommands(COMMANDS)}`);
