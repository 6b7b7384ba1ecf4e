/**
 * Lets a sandbox begin with a layer of somebody else, a sandbox that is forked or a template: it gets the
 * layer's description under its own directory. What the description names stays where it is, for as long
 * as somebody names it (`retention/`).
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { hardLink, publishDirectory } from "@wrenn/effects";
import { beginLayer } from "./commit-layer.ts";
import { headerPathOf, metaPathOf, statePathOf, type Layer } from "./layer.ts";

/** @param parent directory of the sandbox's layers */
export async function adoptLayer({ directory, meta }: Layer, parent: string): Promise<Layer> {
  await mkdir(parent, { recursive: true, mode: 0o711 });
  const temporary = await beginLayer(parent, meta.buildId);
  for (const pathOf of [statePathOf, headerPathOf, metaPathOf])
    await hardLink(pathOf(directory), pathOf(temporary), "adopt.link");
  const adopted = join(parent, meta.buildId);
  await publishDirectory(temporary, adopted, "adopt.publish");
  return { directory: adopted, meta };
}
