/** Every check, in the order in which they are shown. */
import type { CliConfig } from "../config.ts";
import type { Check, Finding } from "./finding.ts";
import { checkControlGroups, checkKvm, checkNamespaces, checkTun } from "./kernel.ts";
import { checkDisk, checkMemory, checkRoot, checkStateDirectory, checkSystem } from "./machine.ts";
import { checkIproute, checkNftables, checkPort, checkResolvers } from "./network.ts";
import { PRODUCTION_CHECKS } from "./production/index.ts";
import { checkBinaries, checkPackages, checkQemu } from "./software.ts";
import { checkVirtualMachines } from "./virtual-machines.ts";

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
  checkTun,
  checkNamespaces,
  checkControlGroups,
  checkVirtualMachines,
  checkNftables,
  checkIproute,
  checkResolvers,
  checkPort,
];

/** Looks at the whole machine; for production, also at what one that serves others should have. */
export async function examine(
  config: CliConfig,
  signal: AbortSignal,
  options: { production?: boolean } = {},
): Promise<Finding[]> {
  const checks = options.production === true ? [...CHECKS, ...PRODUCTION_CHECKS] : CHECKS;
  return (await Promise.all(checks.map(async (check) => await check(config, signal)))).flat();
}
