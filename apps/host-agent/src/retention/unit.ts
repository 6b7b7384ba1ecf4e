/**
 * The directories that are kept or removed as a whole: `sandboxes/<id>`, `golden/<key>`,
 * `templates/<build>`, and `guest/steps/<step>-<hash>`, the images that all of them begin with. What one
 * stands on is told by the paths in its JSON files, whatever their layout.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ifExists } from "@wrenn/effects";

/** Kinds of units, by the directory that they are in. */
export const UNIT_KINDS = ["sandboxes", "golden", "templates", "images"] as const;
export type UnitKind = (typeof UNIT_KINDS)[number];

/** Such as `sandboxes/sb0123…`. */
export type Unit = `${UnitKind}/${string}`;

/** Where the units of each kind are; links resolved, as files name them. */
export type UnitDirectories = Readonly<Record<UnitKind, string>>;

export const unit = (kind: UnitKind, name: string): Unit => `${kind}/${name}`;

/** The unit that a path lies in. */
export function unitOf(path: string, directories: UnitDirectories): Unit | undefined {
  for (const kind of UNIT_KINDS) {
    const prefix = `${directories[kind]}/`;
    if (!path.startsWith(prefix)) continue;
    const [name = ""] = path.slice(prefix.length).split("/", 1);
    return name === "" ? undefined : unit(kind, name);
  }
  return undefined;
}

/**
 * All texts in a unit's record and in the descriptions of its layers. A damaged file has none; one that cannot be read
 * is an error, for what it names would be taken for what nobody needs.
 */
export async function textsIn(unitDirectory: string): Promise<Set<string>> {
  const found = new Set<string>();
  const layers = (await ifExists(readdir(join(unitDirectory, "layers")))) ?? [];
  const files = ["record.json", "meta.json", ...layers.map((layer) => join("layers", layer, "meta.json"))];
  for (const file of files) {
    const text = await ifExists(readFile(join(unitDirectory, file), "utf8"));
    if (text === undefined) continue;
    try {
      addTexts(JSON.parse(text), found);
    } catch {
      // half-written: nothing was started from it
    }
  }
  return found;
}

function addTexts(value: unknown, found: Set<string>): void {
  if (typeof value === "string") {
    found.add(value);
  } else if (typeof value === "object" && value !== null) {
    for (const part of Object.values(value)) addTexts(part, found);
  }
}
