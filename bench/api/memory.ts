/** Whether the control plane's memory grows while it is used: read from its own /metrics, now and then. */
import { setTimeout as delay } from "node:timers/promises";

const INTERVAL_MS = 2_000;
const MIB = 1_048_576;

export interface MemorySample {
  heapMib: number;
  residentMib: number;
}

/** Reads the memory every two seconds until `signal` aborts. */
export async function watchMemory(url: string, signal: AbortSignal): Promise<MemorySample[]> {
  const samples: MemorySample[] = [];
  while (!signal.aborted) {
    const text = await (await fetch(`${url}/metrics`)).text();
    const gauge = (name: string) =>
      Number(new RegExp(`^wrenn_control_plane_${name} (\\S+)$`, "m").exec(text)?.[1]) / MIB;
    samples.push({
      heapMib: gauge("nodejs_heap_size_used_bytes"),
      residentMib: gauge("process_resident_memory_bytes"),
    });
    await delay(INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
  return samples;
}

/** The least of each quarter, which is what a collection of garbage leaves: in a leak every quarter has more. */
export function quarters(samples: readonly MemorySample[], of: keyof MemorySample): number[] {
  const size = Math.ceil(samples.length / 4);
  return [0, 1, 2, 3].map((n) => Math.min(...samples.slice(n * size, (n + 1) * size).map((sample) => sample[of])));
}
