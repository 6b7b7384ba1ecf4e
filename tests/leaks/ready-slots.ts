/** The network slots that a running platform keeps ready: they come and go without being leaks. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Matches what belongs to the slots that nobody owns, by the records in the platform's state directory. */
export function readySlots(stateDirectory: string): (item: string) => boolean {
  const directory = join(stateDirectory, "slots");
  const ready = existsSync(directory) ? readdirSync(directory).flatMap((name) => readyIndex(directory, name)) : [];
  const names = new RegExp(`^(wrenn-|wrn|net/ipv4/conf/wrn|/run/netns/wrenn-|.*/slots/)(${ready.join("|")})(\\b|$)`);
  return (item) => ready.length > 0 && names.test(item);
}

function readyIndex(directory: string, name: string): number[] {
  try {
    const { index, owner } = JSON.parse(readFileSync(join(directory, name), "utf8")) as {
      index: number;
      owner: string | null;
    };
    return owner === null ? [index] : [];
  } catch {
    // it was taken down, or is being written, while we looked
    return [];
  }
}
