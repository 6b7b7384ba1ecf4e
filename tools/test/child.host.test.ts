import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { runChild, type ChildOptions } from "./child.ts";

const options = (argv: [string, ...string[]], more: Partial<ChildOptions> = {}): ChildOptions => ({
  argv,
  cwd: "/",
  env: { PATH: "/usr/bin:/bin" },
  deadlineMs: 30_000,
  signal: new AbortController().signal,
  ...more,
});

it("collects both outputs and tells how the program ended", async () => {
  expect(await runChild(options(["sh", "-c", "echo out; echo err >&2"]))).toMatchObject({
    ok: true,
    how: "exit status 0",
  });
  const failed = await runChild(options(["sh", "-c", "echo out; echo err >&2; exit 3"]));
  expect(failed).toMatchObject({ ok: false, how: "exit status 3" });
  expect(failed.output.split("\n").toSorted()).toEqual(["", "err", "out"]);
});

it("tells that a program is missing", async () => {
  expect(await runChild(options(["no-such-program"]))).toMatchObject({
    ok: false,
    how: expect.stringContaining("ENOENT") as string,
  });
});

it("ends the program and what it has started at the deadline", async () => {
  const { ok, how, output } = await runChild(options(["sh", "-c", "sleep 1000 & echo $!; wait"], { deadlineMs: 300 }));
  expect({ ok, how }).toEqual({ ok: false, how: "not done after 0.3 s" });
  expect(isRunning(Number(output))).toBe(false);
});

it("ends them when it is interrupted", async () => {
  const stopping = new AbortController();
  setTimeout(() => stopping.abort(), 200);
  expect(await runChild(options(["sleep", "1000"], { signal: stopping.signal }))).toMatchObject({
    ok: false,
    how: "interrupted",
  });
});

/** A zombie whose init has not come round to it does not run. */
function isRunning(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1") !== "";
  } catch {
    return false;
  }
}
