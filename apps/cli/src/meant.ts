/** Which commands may have been meant by a word that is none. */
import { COMMANDS } from "./commands/index.ts";
import { isGroup, type CommandDefinition } from "./define-command.ts";

/** What other command lines call it. */
const ELSEWHERE: Readonly<Record<string, readonly string[]>> = {
  delete: ["rm"],
  destroy: ["rm"],
  remove: ["rm"],
  kill: ["rm"],
  ls: ["list"],
  show: ["get"],
  describe: ["get"],
  inspect: ["get"],
  new: ["create"],
  shell: ["connect"],
  ssh: ["connect"],
  attach: ["connect"],
  copy: ["cp"],
  start: ["up", "resume"],
  stop: ["down", "pause"],
};

/** As they are typed behind `wrenn`, and behind the name of the group when the word was. */
export function meantBy(word: string, groupName?: string): string[] {
  const names = [word, ...(ELSEWHERE[word] ?? [])];
  const isMeant = ({ name, aliases = [] }: CommandDefinition): boolean =>
    names.includes(name) || names.some((one) => aliases.includes(one));
  return COMMANDS.flatMap((entry) => {
    if (!isGroup(entry)) return groupName === undefined && isMeant(entry) ? [entry.name] : [];
    const verbs = entry.commands.filter(isMeant).map(({ name }) => name);
    if (groupName === undefined) return verbs.map((verb) => `${entry.name} ${verb}`);
    return entry.name === groupName ? verbs : [];
  });
}
