/** The checks that a start makes: quick, and only what is sure to make it fail later. */
import { WrennError } from "@wrenn/errors";
import type { CliConfig } from "../config.ts";
import { checkNamespaces, checkTun } from "./kernel.ts";
import { checkDisk, checkStateDirectory, checkSystem } from "./machine.ts";
import { checkPackages } from "./software.ts";

const CHECKS = [checkSystem, checkPackages, checkTun, checkNamespaces, checkStateDirectory, checkDisk] as const;

/** @throws WrennError `missing_requirement` or `storage_full` with what is missing, why, and what to do */
export async function checkForStart(config: CliConfig): Promise<void> {
  const signal = AbortSignal.timeout(10_000);
  const missing = [];
  for (const check of CHECKS) {
    missing.push(...(await check(config, signal)).filter(({ status }) => status === "missing"));
  }
  const [first] = missing;
  if (first === undefined) return;
  const reasons = missing.map(
    ({ name, found, consequence }) => `${name}: ${found}${consequence === undefined ? "" : ` (${consequence})`}`,
  );
  throw new WrennError(
    first.name === "disk" ? "storage_full" : "missing_requirement",
    `Cannot start the platform: ${reasons.join("; ")}`,
    { hint: first.hint ?? "See ./wrenn doctor" },
  );
}
