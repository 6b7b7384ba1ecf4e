import { expect, it } from "vitest";
import { reportInstall } from "./install-progress.ts";

it("reportInstall() counts bytes over all downloads, then packages", () => {
  const updates: unknown[][] = [];
  const line = reportInstall({ update: (...update) => updates.push(update) });
  for (const text of [
    "0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.",
    "Need to get 1,500 kB of archives.",
    "Get:1 http://mirror/debian bookworm/main amd64 libc6 amd64 2.36-9 [1,500 kB]",
    "Setting up libc6:amd64 (2.36-9) ...",
    "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.",
    "Need to get 2.5 MB of archives.",
    "Get:1 http://mirror/debian bookworm/main amd64 git amd64 1:2.39 [2.5 MB]",
    "Setting up git (1:2.39) ...",
  ]) {
    line(text);
  }
  expect(updates).toEqual([
    [1_500_000, 1_500_000],
    [1, 1, "packages"],
    [4_000_000, 4_000_000],
    [2, 3, "packages"],
  ]);
});
