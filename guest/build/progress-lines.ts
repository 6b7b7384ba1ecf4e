/** Progress as plain lines, for logs and pipes: one when a step starts, one when it ends. */
import { formatSeconds } from "./format.ts";
import type { GuestProgress, ProgressStream } from "./progress.ts";

/** A renderer that never writes more than two lines for a step. */
export function lineProgress(
  stream: ProgressStream,
  now: () => number = performance.now.bind(performance),
): GuestProgress {
  let name = "";
  let startedAt = 0;
  return {
    step(stepName, detail) {
      name = stepName;
      startedAt = now();
      stream.write(`${name}: ${detail}\n`);
    },
    update() {},
    done(detail) {
      stream.write(`${name}: done in ${formatSeconds(now() - startedAt)}, ${detail}\n`);
    },
    failed() {
      stream.write(`${name}: stopped after ${formatSeconds(now() - startedAt)}\n`);
    },
    note(text) {
      stream.write(`${text}\n`);
    },
  };
}
