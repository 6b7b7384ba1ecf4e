/**
 * The Firecracker versions that are supported, and what we do about their known defects. Sources: the
 * project's CHANGELOG and the issues named. docs/reference/firecracker.md shows this table.
 */
import { run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

export interface KnownDefect {
  /** Upstream's number. */
  issue: number;
  /** First version without it; undefined: none yet. */
  fixedIn: string | undefined;
  what: string;
  /** What we do about it. */
  answer: string;
}

/** Diff snapshots of guests with several memory slots were wrong before it. */
export const OLDEST_SUPPORTED = "1.15.0";
const VERSION_TIMEOUT_MS = 30_000;
const PREFERRED = "1.16.1";

const KNOWN_DEFECTS: readonly KnownDefect[] = [
  {
    issue: 5882,
    fixedIn: "1.16.0",
    what: "A restored vsock may lose its first connection",
    answer: "No vsock device is made: the guest agent is reached over the network",
  },
  {
    issue: 5958,
    fixedIn: "1.16.1",
    what: "A vsock connection of the guest may hang",
    answer: "No vsock device is made",
  },
  {
    issue: 6100,
    fixedIn: undefined,
    what: "After a pause and resume without a snapshot, no vsock connection reaches the guest",
    answer: "No vsock device is made",
  },
  {
    issue: 6174,
    fixedIn: undefined,
    what: "A balloon splits the mapping of a memory file and loses its overcommit",
    answer: "No balloon is made",
  },
];

/** `x.y.z`, or `unknown`. */
export async function firecrackerVersionOf(program: string, signal: AbortSignal): Promise<string> {
  const { stdout } = await run([program, "--version"], { signal, timeoutMs: VERSION_TIMEOUT_MS });
  return /v(\d+\.\d+\.\d+)/.exec(stdout)?.[1] ?? "unknown";
}

/** False also for what is no version. */
export const isSupported = (version: string): boolean => compareVersions(version, OLDEST_SUPPORTED) >= 0;

/** @throws WrennError `unsupported` when this version is too old, or its number cannot be read */
export function requireSupported(version: string): void {
  if (isSupported(version)) return;
  throw new WrennError(
    "unsupported",
    `Cannot use Firecracker ${version}: ${OLDEST_SUPPORTED} is the oldest supported`,
    {
      hint: `Install Firecracker ${PREFERRED} or newer`,
    },
  );
}

/** The defects that a version has. */
export function defectsOf(version: string): KnownDefect[] {
  return KNOWN_DEFECTS.filter(({ fixedIn }) => fixedIn === undefined || compareVersions(version, fixedIn) < 0);
}

function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => /^(\d+)\.(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number) ?? [-1, 0, 0]);
  for (let index = 0; index < 3; index++) {
    const difference = (left?.[index] ?? 0) - (right?.[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
