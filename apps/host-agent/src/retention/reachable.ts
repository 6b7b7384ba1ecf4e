/** What must be kept: everything that is in use, and everything that something kept stands on. */

/** @param references by name, the names that it stands on; a missing entry stands on nothing */
export function reachable(references: ReadonlyMap<string, ReadonlySet<string>>, roots: Iterable<string>): Set<string> {
  const kept = new Set<string>();
  const pending = [...roots];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (kept.has(name)) continue;
    kept.add(name);
    pending.push(...(references.get(name) ?? []));
  }
  return kept;
}
