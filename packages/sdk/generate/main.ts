/** Writes src/generated.ts anew; a test says when it is out of date. */
import { readFile } from "node:fs/promises";
import { parse } from "yaml";
import { writeFileAtomic } from "@wrenn/effects";
import { generate, type Document } from "./operations.ts";

const DOCUMENT = new URL("../../../docs/reference/openapi.yaml", import.meta.url);
const TARGET = new URL("../src/generated.ts", import.meta.url);

await writeFileAtomic(TARGET.pathname, generate(parse(await readFile(DOCUMENT, "utf8")) as Document), {
  mode: 0o644,
  durable: false,
});
