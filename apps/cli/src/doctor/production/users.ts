/** The users that VMs run as: they must be nobody else's. */
import type { Check } from "../finding.ts";
import { readText } from "./read-text.ts";

export const checkVmUsers: Check = async ({
  WRENN_UID_FIRST: uidFirst,
  WRENN_SLOT_FIRST: first,
  WRENN_SLOT_COUNT: count,
}) => {
  const [from, to] = [uidFirst + first, uidFirst + first + count - 1];
  const overlaps = (start: number, length: number): boolean => start <= to && start + length > from;
  const entries = async (path: string) => (await readText(path)).split("\n").map((line) => line.split(":"));
  const taken: string[] = [];
  for (const path of ["/etc/passwd", "/etc/group"])
    for (const [name, , id] of await entries(path)) if (overlaps(Number(id), 1)) taken.push(`${name} in ${path}`);
  for (const path of ["/etc/subuid", "/etc/subgid"])
    for (const [name, start, length] of await entries(path))
      if (overlaps(Number(start), Number(length))) taken.push(`${name} in ${path}`);
  const name = "vm users";
  if (taken.length === 0) return [{ name, status: "ok", found: `${from} to ${to} are nobody's` }];
  return [
    {
      name,
      status: "limited",
      found: `${from} to ${to} are taken by ${taken.join(", ")}`,
      consequence: "Somebody else's processes could touch those of VMs",
      hint: "Choose other ids: WRENN_UID_FIRST",
    },
  ];
};
