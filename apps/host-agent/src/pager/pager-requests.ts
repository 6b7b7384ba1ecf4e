/** What the pager is asked and answers (docs/reference/pager.md; snake_case is the pager's own). */

/** Where the memory of a guest is: the newest layer's header, and the memory file of every build that it names. */
export interface MemoryFiles {
  header: string;
  builds: Readonly<Record<string, string>>;
}

/** A layer that is to be made. */
export interface LayerTarget {
  buildId: string;
  memory: string;
  header: string;
}

/** A layer that was made or checked. */
export interface LayerSummary {
  buildId: string;
  baseBuildId: string;
  generation: number;
  /** Bytes of guest memory. */
  size: number;
  entries: number;
  /** `crc32:` and eight hex digits, over the pages of the layer's own memory file that are not zeros. */
  checksum: string;
  dataBytes: number;
  zeroBytes: number;
  /** Bytes that a process had written, of which some may be as before. */
  touchedBytes: number;
}

/** Memory that a VMM will ask for by userfaultfd. */
export interface MemorySession {
  id: string;
  /** Made by the pager; only `uid` may connect. */
  socket: string;
  uid: number;
  gid: number;
  layers: MemoryFiles;
  /** File of a working set, which is installed ahead; the pager goes on without one that it cannot use. */
  workingSet?: string;
}

/** Pages that a VM got since it was restored, by why: a thread waited for their bytes, or for zeros; or ahead of any. */
export type ServedPages = Readonly<Record<"demanded" | "zeros" | "replayed", number>>;

/** What was written into a process. */
export interface Injection {
  dataBytes: number;
  zeroBytes: number;
}

export interface PagerHealth {
  version: string;
  pid: number;
  roots: readonly { path: string; exactHoles: boolean }[];
}

/** How many VMs the pager serves, and a number that grows with every change of them. */
export interface PagerSessions {
  revision: number;
  sessions: readonly { id: string; state: "listening" | "serving" | "ended" | "failed"; reason?: string }[];
}

interface LayerAnswer {
  build_id: string;
  base_build_id: string;
  generation: number;
  size: number;
  entries: number;
  checksum: string;
  data_bytes: number;
  zero_bytes: number;
  touched_bytes?: number;
}

const PAGE_BYTES = 4096;

export function sessionBody({ id, socket, uid, gid, layers, workingSet }: MemorySession): object {
  return { id, socket, uid, gid, layers, ...(workingSet === undefined ? {} : { working_set: workingSet }) };
}

export function servedPagesOf(answer: unknown): ServedPages {
  const { counts } = answer as { counts: Record<"demand_bytes" | "zero_bytes" | "replayed_bytes", number> };
  return {
    demanded: counts.demand_bytes / PAGE_BYTES,
    zeros: counts.zero_bytes / PAGE_BYTES,
    replayed: counts.replayed_bytes / PAGE_BYTES,
  };
}

export function targetBody({ buildId, memory, header }: LayerTarget): object {
  // Whoever commits the layer flushes it, when the guest runs again.
  return { build_id: buildId, memory, header, durable: false };
}

export function summaryOf(answer: unknown): LayerSummary {
  const layer = answer as LayerAnswer;
  return {
    buildId: layer.build_id,
    baseBuildId: layer.base_build_id,
    generation: layer.generation,
    size: layer.size,
    entries: layer.entries,
    checksum: layer.checksum,
    dataBytes: layer.data_bytes,
    zeroBytes: layer.zero_bytes,
    touchedBytes: layer.touched_bytes ?? layer.data_bytes + layer.zero_bytes,
  };
}

export function injectionOf(answer: unknown): Injection {
  const { data_bytes, zero_bytes } = answer as { data_bytes: number; zero_bytes: number };
  return { dataBytes: data_bytes, zeroBytes: zero_bytes };
}

export function healthOf(answer: unknown): PagerHealth {
  const { version, pid, roots } = answer as {
    version: string;
    pid: number;
    roots: { path: string; exact_holes: boolean }[];
  };
  return { version, pid, roots: roots.map(({ path, exact_holes }) => ({ path, exactHoles: exact_holes })) };
}
