/** What the pager makes of layers on XFS, whose blocks it shares. Runs in the testbed: `./wrenn test --only nested`. */
import { mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { expect, it } from "vitest";
import { encodeHeader } from "../snapshot/header.ts";
import { wholeMapping } from "../snapshot/mapping.ts";
import { openPager } from "./open-pager.ts";

const MEMORY_BYTES = 16 * 1024 * 1024;
const BLOCK_BYTES = 4096;
const signal = (): AbortSignal => AbortSignal.timeout(60_000);

async function writeBlocks(path: string, blocks: readonly number[], byte: number): Promise<void> {
  const file = await open(path, "wx");
  await file.truncate(MEMORY_BYTES);
  for (const block of blocks) await file.write(Buffer.alloc(BLOCK_BYTES, byte), { position: block * BLOCK_BYTES });
  await file.close();
}

it("makes a whole memory whose holes are where nothing is, also beside blocks that were written over", async () => {
  const root = await mkdtemp(join(tmpdir(), "wrenn-flatten-"));
  const pager = await openPager({ stateDirectory: root, log: pino({ level: "silent" }) }, signal());
  try {
    const filesOf = (buildId: string): { buildId: string; memory: string; header: string } => ({
      buildId,
      memory: join(root, buildId),
      header: join(root, `${buildId}.header`),
    });
    expect(pager.health.roots.map(({ exactHoles }) => exactHoles)).toEqual([true, true]); // of clones too
    const [base, layer, flat] = [filesOf("base"), filesOf("layer"), filesOf("flat")];
    await writeBlocks(base.memory, [33, 36, 37, 38, 50], 0x22);
    const mapping = wholeMapping("base", MEMORY_BYTES);
    const whole = { size: MEMORY_BYTES, generation: 0, buildId: "base", baseBuildId: "base", mapping };
    await writeFile(base.header, encodeHeader(whole));
    await writeBlocks(layer.memory, [33], 7);
    await pager.seal(layer, { parent: base.header }, signal());
    const layers = { header: layer.header, builds: { base: base.memory, layer: layer.memory } };
    const { checksum } = await pager.flatten(flat, layers, signal());
    const content = await readFile(flat.memory);
    expect(content.readUInt8(33 * BLOCK_BYTES)).toBe(7);
    const withoutHoles = join(root, "content");
    await writeFile(withoutHoles, content);
    await pager.verify({ header: flat.header, memory: withoutHoles, checksum }, signal());
  } finally {
    await pager.close();
    await rm(root, { recursive: true });
  }
});
