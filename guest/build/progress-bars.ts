/** Progress as one line per step that redraws itself, for terminals. */
import { formatBytes, formatSeconds } from "./format.ts";
import type { GuestProgress, ProgressStream, ProgressUnit } from "./progress.ts";

const BAR_CELLS = 20;
const REDRAW_MS = 100;
const CLEAR_LINE = "\r\u001b[K";

/** A renderer that redraws at most ten times a second and once a second while nothing is reported. */
export function barProgress(
  stream: ProgressStream,
  now: () => number = performance.now.bind(performance),
): GuestProgress {
  let current: { name: string; detail: string; startedAt: number; count: string } | undefined;
  let drawnAt = -Infinity;
  let clock: NodeJS.Timeout | undefined;

  function draw(): void {
    if (current === undefined) return;
    drawnAt = now();
    const time = formatSeconds(drawnAt - current.startedAt);
    const line = [`  ${current.name.padEnd(14)}`, current.count || current.detail, time].join("  ");
    stream.write(CLEAR_LINE + line.slice(0, Math.max(20, (stream.columns ?? 80) - 1)));
  }

  function stop(): void {
    clearInterval(clock);
    current = undefined;
    drawnAt = -Infinity;
  }

  return {
    step(name, detail) {
      stop();
      current = { name, detail, startedAt: now(), count: "" };
      // The elapsed time goes on while a tool says nothing; the timer never keeps the process alive.
      clock = setInterval(draw, 1000).unref();
      draw();
    },
    update(done, total, unit = "bytes") {
      if (current === undefined) return;
      current.count = formatCount(done, total, unit);
      if (now() - drawnAt >= REDRAW_MS) draw();
    },
    done(detail) {
      if (current === undefined) return;
      const time = formatSeconds(now() - current.startedAt);
      stream.write(`${CLEAR_LINE}✓ ${current.name.padEnd(14)}  ${detail}  ${time}\n`);
      stop();
    },
    failed() {
      if (current === undefined) return;
      stream.write(`${CLEAR_LINE}✗ ${current.name}\n`);
      stop();
    },
    note(text) {
      stream.write(`${CLEAR_LINE}${text}\n`);
      draw();
    },
  };
}

function formatCount(done: number, total: number | undefined, unit: ProgressUnit): string {
  const show = (value: number) => (unit === "bytes" ? formatBytes(value) : String(value));
  const suffix = unit === "bytes" ? "" : ` ${unit}`;
  if (total === undefined || total <= 0) return show(done) + suffix;
  const filled = Math.min(BAR_CELLS, Math.floor((done / total) * BAR_CELLS));
  return `${"█".repeat(filled)}${"░".repeat(BAR_CELLS - filled)}  ${show(done)}/${show(total)}${suffix}`;
}
