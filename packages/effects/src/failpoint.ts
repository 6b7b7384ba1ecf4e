/**
 * Failpoints: named places, each just before a durable side effect, where a test can make the process die
 * or halt, or the effect fail. `WRENN_FAILPOINTS=publish.rename=kill,seal.fsync=error:ENOSPC`; `name=kill@3`
 * means the third time that the place is passed; `name=stop` halts the process (SIGSTOP), so that another one
 * can be killed at exactly that moment. `WRENN_FAILPOINTS=@FILE` reads a file at every place, so that a process
 * can be armed while it runs; passes are counted since its text changed. With `WRENN_FAILPOINT_TRACE=FILE` every
 * place that is passed is written there, one a line, so that a test can go through all of them.
 * Without these variables a failpoint is one look-up in an empty map.
 */
import { appendFileSync, readFileSync } from "node:fs";

type Action = { kind: "kill" | "stop" | "error"; errno: string; pass: number | undefined };

const setting = process.env["WRENN_FAILPOINTS"] ?? "";
const file = setting.startsWith("@") ? setting.slice(1) : undefined;
const trace = process.env["WRENN_FAILPOINT_TRACE"] ?? "";
const passes = new Map<string, number>();
let text = file === undefined ? setting : "";
let armed = parse(text);

function parse(list: string): ReadonlyMap<string, Action> {
  const actions = new Map<string, Action>();
  for (const item of list.split(",").filter(Boolean)) {
    const { name, kind, errno, pass } =
      /^(?<name>[^=]+)=(?<kind>kill|stop|error)(:(?<errno>\w+))?(@(?<pass>\d+))?$/.exec(item)?.groups ?? {};
    if (name === undefined || (kind !== "kill" && kind !== "stop" && kind !== "error"))
      throw new RangeError(
        `Cannot arm failpoint ${item}: say name=kill, name=stop or name=error[:ERRNO], with @N the Nth time`,
      );
    actions.set(name, { kind, errno: errno ?? "EIO", pass: pass === undefined ? undefined : Number(pass) });
  }
  return actions;
}

function readAgain(path: string): void {
  const now = readFileSync(path, "utf8").trim();
  if (now === text) return;
  text = now;
  armed = parse(text);
  passes.clear();
}

/** Passes, kills or halts this process, or throws an errno error, as `WRENN_FAILPOINTS` says for `name`. */
export function failpoint(name: string): void {
  if (trace !== "") appendFileSync(trace, `${name}\n`);
  if (file !== undefined) readAgain(file);
  const action = armed.get(name);
  if (action === undefined) return;
  const pass = (passes.get(name) ?? 0) + 1;
  passes.set(name, pass);
  if (action.pass !== undefined && action.pass !== pass) return;
  const { kind, errno } = action;
  if (kind === "error") throw Object.assign(new Error(`${errno}: failpoint ${name}`), { code: errno });
  process.kill(process.pid, kind === "kill" ? "SIGKILL" : "SIGSTOP");
}
