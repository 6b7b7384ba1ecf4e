/**
 * Failpoints: named places, each just before a durable side effect, where a test can make the
 * process die or the effect fail. `WRENN_FAILPOINTS=publish.rename=kill,seal.fsync=error:ENOSPC`.
 * Without the variable a failpoint is one Map lookup in an empty map.
 */
const armed = parse(process.env["WRENN_FAILPOINTS"] ?? "");

type Action = { kind: "kill" } | { kind: "error"; errno: string };

function parse(text: string): ReadonlyMap<string, Action> {
  const actions = new Map<string, Action>();
  for (const item of text.split(",").filter(Boolean)) {
    const [name = "", what = ""] = item.split("=");
    const [kind, errno = "EIO"] = what.split(":");
    if (kind !== "kill" && kind !== "error")
      throw new RangeError(`Cannot arm failpoint ${item}: say kill or error[:ERRNO]`);
    actions.set(name, kind === "kill" ? { kind } : { kind, errno });
  }
  return actions;
}

/** Passes, dies by SIGKILL, or throws an errno error, as `WRENN_FAILPOINTS` says for `name`. */
export function failpoint(name: string): void {
  const action = armed.get(name);
  if (action === undefined) return;
  if (action.kind === "kill") process.kill(process.pid, "SIGKILL");
  else throw Object.assign(new Error(`${action.errno}: failpoint ${name}`), { code: action.errno });
}
