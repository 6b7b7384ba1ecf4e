/** When the layers of a sandbox are joined, behind it and never while it is frozen. */
import type { Layer } from "./layer.ts";

/** From this generation, or this many sealed disks, on a collapse is due; longer chains stay resumable. */
export const COLLAPSE_GENERATIONS = 10;
/** A diff that a resume puts in is bounded: beyond this, or this part of the memory, the memory is flattened. */
const FLATTEN_BYTES = 64 * 1024 * 1024;
const FLATTEN_PART = 1 / 4;

const MIB = 1024 * 1024;

export type Rewrite = "collapse" | "flatten";

/**
 * @param ownDisks how many disks of the layer's chain are the sandbox's own
 * @param generations from which a collapse is due
 */
export function rewriteDue(layer: Layer, ownDisks: number, generations: number): Rewrite | undefined {
  const { memory, generation, shape } = layer.meta;
  if (memory === undefined) return undefined;
  const bound = Math.max(FLATTEN_BYTES, shape.memoryMib * MIB * FLATTEN_PART);
  if (memory.accumulatedBytes > bound) return "flatten";
  return generation >= generations || ownDisks >= generations ? "collapse" : undefined;
}
