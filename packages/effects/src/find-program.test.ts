import { expect, it } from "vitest";
import { findProgram } from "./index.ts";

it("finds a program in the first directory that has it, by its path, or not at all", async () => {
  expect(await findProgram("sh", "/nonexistent:/etc:/usr/bin:/bin")).toBe("/usr/bin/sh");
  expect(await findProgram("/bin/sh", "")).toBe("/bin/sh");
  expect(await findProgram("passwd", "/etc")).toBeUndefined(); // a file that nobody can execute
  expect(await findProgram("/nonexistent/sh", "/bin")).toBeUndefined();
});
