/** An uplink for tests that send nothing: a veth pair that leads nowhere. */
import { ip } from "./namespaces.ts";

/** Makes one; returns its name and how it is removed. */
export function makeUplink(name: string): { name: string; remove: () => void } {
  ip([`link add ${name} type veth peer name ${name}p`, `link set ${name} up`, `link set ${name}p up`]);
  return { name, remove: () => ip([`link del ${name}`]) };
}
