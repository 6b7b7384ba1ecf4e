/**
 * Who reads layers at this moment: an operation that copies or joins them holds them, so that they are not
 * collected under it. Leases end with this process, and so do the operations that need them.
 */
import type { Layer } from "./layer.ts";

export class LayerLeases {
  readonly #held = new Map<symbol, readonly string[]>();

  /** Keeps every file that the layer needs until the lease is disposed. */
  hold(layer: Layer): Disposable {
    return this.holdPaths(filesOf(layer));
  }

  /** Keeps paths, which need not exist yet. */
  holdPaths(paths: readonly string[]): Disposable {
    const key = Symbol(paths[0]);
    this.#held.set(key, paths);
    return { [Symbol.dispose]: () => void this.#held.delete(key) };
  }

  /** The files that somebody holds. */
  files(): ReadonlySet<string> {
    return new Set([...this.#held.values()].flat());
  }
}

/** Every file that a layer needs, beyond what lies in its own directory. */
export function filesOf({ directory, meta }: Layer): string[] {
  return [directory, ...Object.values(meta.memory?.builds ?? {}), meta.disk.path, ...meta.disk.backingPaths];
}
