/** What a machine that serves others should have beyond what Wrenn needs: docs/guides/production.md. */
import type { Check } from "../finding.ts";
import { checkHugePages, checkModules, checkSamePageMerging, checkSwap, checkSysctls } from "./kernel-settings.ts";
import { checkSmt, checkVulnerabilities } from "./processor.ts";
import { checkHeldPackage, checkListen, checkOpenFiles, checkUnits } from "./service.ts";
import { checkStateFileSystem } from "./state-file-system.ts";
import { checkVmUsers } from "./users.ts";

export const PRODUCTION_CHECKS: readonly Check[] = [
  checkVulnerabilities,
  checkSmt,
  checkSysctls,
  checkSwap,
  checkSamePageMerging,
  checkHugePages,
  checkModules,
  checkStateFileSystem,
  checkVmUsers,
  checkUnits,
  checkOpenFiles,
  checkListen,
  checkHeldPackage,
];
