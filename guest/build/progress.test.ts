import { expect, it, vi } from "vitest";
import { progressFor, type GuestProgress } from "./progress.ts";

function stream(isTTY: boolean) {
  const written: string[] = [];
  return { isTTY, columns: 60, written, write: (text: string) => written.push(text) };
}

function build(progress: GuestProgress): void {
  progress.step("kernel", "Debian's kernel");
  progress.update(5 * 1024 ** 2, 20 * 1024 ** 2);
  vi.advanceTimersByTime(4_000);
  progress.update(20 * 1024 ** 2, 20 * 1024 ** 2);
  progress.done("20 MiB downloaded");
  progress.note("A remark");
  progress.step("tree", "packages");
  vi.advanceTimersByTime(90_000);
  progress.failed();
}

it("writes two plain lines for a step where there is no terminal", () => {
  vi.useFakeTimers();
  const log = stream(false);
  build(progressFor(log));
  expect(log.written.join("")).toBe(
    [
      "kernel: Debian's kernel",
      "kernel: done in 4.0 s, 20 MiB downloaded",
      "A remark",
      "tree: packages",
      "tree: stopped after 1 min 30 s",
      "",
    ].join("\n"),
  );
  vi.useRealTimers();
});

it("redraws one line with sizes and time on a terminal, and keeps only the result", () => {
  vi.useFakeTimers();
  const terminal = stream(true);
  build(progressFor(terminal));
  const text = terminal.written.join("");
  expect(text).toContain("█████░░░░░░░░░░░░░░░  5.0 MiB/20.0 MiB");
  const shown = text.split("\n").map((line) => line.split("\u001b[K").at(-1));
  expect(shown).toEqual(["✓ kernel          20 MiB downloaded  4.0 s", "A remark", "✗ tree", ""]);
  for (const redraw of text.replaceAll("\r\u001b[K", "\n").split("\n")) expect(redraw.length).toBeLessThan(60);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});
