/**
 * Failpoints: named places, each just before a durable side effect, where a test can make the
 * process die or the effect fail. `WRENN_FAILPOINTS=publish.rename=kill,seal.fsync=error:ENOSPC`;
 * `name=kill@3` means the third time that the place is passed, `name=kill:1234` that another process dies
 * there. With `WRENN_FAILPOINT_TRACE=FILE` every
 * place that is passed is written there, one a line, so that a test can go through all of them.
 * Without these variables a failpoint is one look-up in an empty map.
 */
import { appendFileSync } from "node:fs";

type Action = { kind: "kill" | "error"; what: string | undefined; pass: number | undefined };

const armed = parse(process.env["WRENN_FAILPOINTS"] ?? "");
const trace = process.env["WRENN_FAILPOINT_TRACE"] ?? "";
const passes = new Map<string, number>();

function parse(text: string): ReadonlyMap<string, Action> {
  const actions = new Map<string, Action>();
  for (const item of text.split(",").filter(Boolean)) {
    const { name, kind, what, pass } =
      /^(?<name>[^=]+)=(?<kind>kill|error)(:(?<what>\w+))?(@(?<pass>\d+))?$/.exec(item)?.groups ?? {};
    if (name === undefined || (kind !== "kill" && kind !== "error"))
      throw new RangeError(
        `Cannot arm failpoint ${item}: say name=kill[:PID] or name=error[:ERRNO], with @N the Nth time`,
      );
    actions.set(name, { kind, what, pass: pass === undefined ? undefined : Number(pass) });
  }
  return actions;
}

/** Passes, lets this or another process die by SIGKILL, or throws an errno error, as `WRENN_FAILPOINTS` says for `name`. */
export function failpoint(name: string): void {
  if (trace !== "") appendFileSync(trace, `${name}\n`);
  const action = armed.get(name);
  if (action === undefined) return;
  const pass = (passes.get(name) ?? 0) + 1;
  passes.set(name, pass);
  if (action.pass !== undefined && action.pass !== pass) return;
  const { kind, what } = action;
  if (kind === "kill") process.kill(what === undefined ? process.pid : Number(what), "SIGKILL");
  else throw Object.assign(new Error(`${what ?? "EIO"}: failpoint ${name}`), { code: what ?? "EIO" });
}
