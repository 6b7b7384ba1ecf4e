/**
 * How a slot is made and taken down: a list of steps, each with its undoing. Making runs them in
 * order and undoes what was done when one fails; taking down undoes all of them in reverse, goes on
 * after a failure and reports every one. Undoing what is not there is success.
 *
 * Four short processes make a slot: `ip` on the host, `ip` in the namespace, `tee` for the
 * namespace's sysctls, `nft` in the namespace.
 */
import { existsSync } from "node:fs";
import { failpoint, run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { SlotPlan } from "./addresses.ts";
import { prepareVeth } from "./forwarding.ts";
import { interfaceGroup } from "./host-rules.ts";
import { joinErrors } from "../joined-errors.ts";
import { namespaceRules, type NamespaceRuleOptions } from "./namespace-rules.ts";
import {
  GATEWAY_ADDRESS,
  GATEWAY_MAC_ADDRESS,
  GUEST_ADDRESS,
  GUEST_MAC_ADDRESS,
  GUEST_PREFIX_LENGTH,
} from "./network.ts";
import { inside, loadRules } from "./nft.ts";
import { contains, type Route } from "./routes.ts";
import type { SlotRecords } from "./slot-records.ts";

/** Each deletes all connections up to one that ended meanwhile. */
const FORGET_ATTEMPTS = 20;

/** What a slot is made with. */
export interface SlotContext {
  records: SlotRecords;
  /** Tells the platform's veths apart on the host. */
  firstIndex: number;
}

/** Makes a slot that nobody owns yet. Its record is there before anything else of it. */
export async function makeSlot(slot: SlotPlan, context: SlotContext, rules: NamespaceRuleOptions): Promise<void> {
  const done: Step[] = [];
  try {
    for (const step of steps(slot, context, rules)) {
      failpoint(`network.${step.name}`);
      // before, not after: a step that fails half-way is undone as well
      done.unshift(step);
      await step.make();
    }
    failpoint("network.ready");
  } catch (error) {
    const undoErrors = await undo(done);
    if (undoErrors.length === 0) throw error;
    throw joinErrors(`Cannot make network slot ${slot.index}, nor remove what was made`, [error, ...undoErrors]);
  }
}

/** Takes a slot down: connections, links, namespace and, when all of it is gone, its record. */
export async function takeSlotDown(slot: SlotPlan, context: SlotContext): Promise<void> {
  const errors = await undo(steps(slot, context, undefined).toReversed());
  if (errors.length > 0) throw joinErrors(`Cannot take down network slot ${slot.index}`, errors);
}

/** Why a slot without a record cannot be made: what of it somebody else has; undefined when nothing. */
export function clashOf(
  { namespacePath, vethName, hostAddress, vethAddress }: SlotPlan,
  routes: readonly Route[],
): string | undefined {
  if (existsSync(namespacePath)) return `${namespacePath} exists`;
  if (existsSync(`/sys/class/net/${vethName}`)) return `interface ${vethName} exists`;
  // a wider route, a company's 10.0.0.0/8 for example, goes on working around our addresses
  const route = routes.find(
    ({ destination, prefixLength }) =>
      prefixLength >= 16 && [hostAddress, vethAddress].some((address) => contains(destination, prefixLength, address)),
  );
  return route && `${route.destination}/${route.prefixLength} is routed to ${route.interfaceName}`;
}

interface Step {
  name: string;
  make(): Promise<void>;
  /** Absent where the undoing of an earlier step removes this one's work too. */
  undo?(): Promise<void>;
}

function steps(slot: SlotPlan, { records, firstIndex }: SlotContext, rules: NamespaceRuleOptions | undefined): Step[] {
  const { index, namespacePath, namespaceName, vethName, tapName } = slot;
  /** How many of the first commands of "links" are ours: a name that was taken meanwhile is not ours to remove. */
  let linksMade = Number.POSITIVE_INFINITY;
  return [
    {
      name: "record",
      make: async () => records.write({ index, owner: null }),
      undo: async () => records.remove(index),
    },
    {
      name: "connections",
      make: async () => {},
      undo: async () => flushConnections(slot),
    },
    {
      name: "links",
      make: async () => {
        const commands = [
          `netns add ${namespaceName}`,
          `link add ${vethName} group ${interfaceGroup(firstIndex)} type veth peer name eth0 netns ${namespaceName}`,
          `link set ${vethName} addrgenmode none`,
          `addr add ${slot.vethAddress}/31 dev ${vethName}`,
          `link set ${vethName} up`,
          `route add ${slot.hostAddress}/32 via ${slot.peerAddress} dev ${vethName}`,
        ];
        try {
          await ipBatch(commands);
        } catch (error) {
          linksMade = commandsBefore(error);
          throw error;
        }
        await prepareVeth(vethName);
      },
      undo: async () => removeLinks(slot, linksMade),
    },
    {
      name: "sysctls",
      make: async () => {
        await run([...inside(namespacePath), "tee", ...namespaceSwitches()], { input: "1" });
      },
    },
    {
      name: "tap",
      make: async () =>
        ipBatch(
          [
            "link set lo up",
            "link set eth0 addrgenmode none",
            `addr add ${slot.peerAddress}/31 dev eth0`,
            "link set eth0 up",
            `route add default via ${slot.vethAddress}`,
            `tuntap add dev ${tapName} mode tap user ${slot.uid}`,
            `link set ${tapName} addrgenmode none`,
            `link set ${tapName} address ${GATEWAY_MAC_ADDRESS}`,
            `addr add ${GATEWAY_ADDRESS}/${GUEST_PREFIX_LENGTH} dev ${tapName}`,
            `link set ${tapName} up`,
            `neigh add ${GUEST_ADDRESS} lladdr ${GUEST_MAC_ADDRESS} dev ${tapName} nud permanent`,
          ],
          namespaceName,
        ),
    },
    {
      name: "rules",
      make: async () => {
        if (rules !== undefined) await loadRules(namespaceRules(slot, rules), namespacePath);
      },
    },
  ];
}

async function undo(steps: readonly Step[]): Promise<unknown[]> {
  const errors: unknown[] = [];
  for (const step of steps) {
    // the record stays while anything else may be left: the next sweep finds it by that
    if (step.name === "record" && errors.length > 0) continue;
    try {
      failpoint(`network.undo.${step.name}`);
      await step.undo?.();
    } catch (error) {
      errors.push(error);
    }
  }
  return errors;
}

/** The switches that are on in a slot's namespace; those of IPv6 where the kernel has it. */
function namespaceSwitches(): string[] {
  return [
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv6/conf/all/disable_ipv6",
    "/proc/sys/net/ipv6/conf/default/disable_ipv6",
  ].filter((path) => existsSync(path));
}

async function ipBatch(commands: readonly string[], namespaceName?: string): Promise<void> {
  const where = namespaceName === undefined ? [] : ["-n", namespaceName];
  await run(["ip", ...where, "-batch", "-"], { input: `${commands.join("\n")}\n` });
}

/** How many commands of a failed batch had been done; "Command failed -:N" names the first that was not. */
function commandsBefore(error: unknown): number {
  const line = /Command failed -:(\d+)/.exec(error instanceof Error ? error.message : "")?.[1];
  return line === undefined ? Number.POSITIVE_INFINITY : Number(line) - 1;
}

/** The veth goes first: both its ends go at once, even while a process still holds the namespace. */
async function removeLinks({ vethName, namespaceName, namespacePath }: SlotPlan, made: number): Promise<void> {
  const commands = [];
  if (made >= 2 && existsSync(`/sys/class/net/${vethName}`)) commands.push(`link del ${vethName}`);
  if (made >= 1 && existsSync(namespacePath)) commands.push(`netns del ${namespaceName}`);
  if (commands.length > 0) await run(["ip", "-force", "-batch", "-"], { input: `${commands.join("\n")}\n` });
}

/** Forgets the host's connections of a slot, so that its next user gets none of their packets. */
async function flushConnections({ peerAddress, hostAddress }: SlotPlan): Promise<void> {
  await Promise.all([forgetConnections("--orig-src", peerAddress), forgetConnections("--orig-dst", hostAddress)]);
}

/**
 * conntrack(8) lists, then deletes one by one, and gives up at the first that has ended by itself in between: the others
 * are still there, so it is asked again.
 */
async function forgetConnections(direction: string, address: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await run(["conntrack", "--delete", direction, address]);
      return;
    } catch (error) {
      const message = error instanceof WrennError ? error.message : "";
      // status 1 also says that there was nothing to delete
      if (message.includes("0 flow entries have been deleted")) return;
      if (!message.includes("such conntrack doesn't exist") || attempt === FORGET_ATTEMPTS) throw error;
    }
  }
}
