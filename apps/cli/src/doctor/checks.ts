/** Every check, in the order in which they are shown. */
import type { CliConfig } from "../config.ts";
import type { Check, Finding } from "./finding.ts";
import { checkControlGroups, checkDeviceMapper, checkKvm, checkNamespaces, checkTun } from "./kernel.ts";
import { checkDisk, checkMemory, checkRoot, checkStateDirectory, checkSystem } from "./machine.ts";
import { checkIproute, checkNftables, checkPort, checkResolvers } from "./network.ts";
import { checkBinaries, checkFirecracker, checkPackages, checkQemu } from "./software.ts";

const CHECKS: readonly Check[] = [
  checkSystem,
  checkRoot,
  checkMemory,
  checkStateDirectory,
  checkDisk,
  checkPackages,
  checkBinaries,
  checkKvm,
  checkQemu,
  checkFirecracker,
  checkTun,
  checkNamespaces,
  checkControlGroups,
  checkDeviceMapper,
  checkNftables,
  checkIproute,
  checkResolvers,
  checkPort,
];

/** Looks at the whole machine. */
export async function examine(config: CliConfig, signal: AbortSignal): Promise<Finding[]> {
  return (await Promise.all(CHECKS.map(async (check) => await check(config, signal)))).flat();
}
