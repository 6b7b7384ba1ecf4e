/**
 * What becomes of sandboxes at an orderly stop: what the configuration says, unless `run/on-exit` in the state
 * directory says otherwise for the next stop. `wrenn down --on-exit` writes it.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { remove } from "@wrenn/effects";

export type OnExit = "keep" | "destroy";

const pathOf = (stateDirectory: string): string => join(stateDirectory, "run", "on-exit");

/** Forgets what was said for a stop that never came; to be called at the start. */
export async function forgetOnExit(stateDirectory: string): Promise<void> {
  await remove(pathOf(stateDirectory), "on-exit.forget");
}

/** What is to be done at the stop that begins now. */
export async function readOnExit(stateDirectory: string, configured: OnExit): Promise<OnExit> {
  const said = await readFile(pathOf(stateDirectory), "utf8").catch(() => "");
  await forgetOnExit(stateDirectory);
  return said === "keep" || said === "destroy" ? said : configured;
}
