/** What becomes of sandboxes when the platform stops in good order; a crash always keeps them. */
import { writeFileAtomic } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { PlatformLayout } from "./layout.ts";

export type OnExit = "keep" | "destroy";

/** Parses the value of `--on-exit`. @throws WrennError `invalid_request` */
export function parseOnExit(text: string): OnExit {
  if (text === "keep" || text === "destroy") return text;
  throw new WrennError("invalid_request", `Cannot use --on-exit ${text}: keep or destroy`);
}

/** Tells the host agent what to do at the stop that follows, whatever it was started with. */
export async function chooseOnExit(layout: PlatformLayout, choice: OnExit): Promise<void> {
  await writeFileAtomic(layout.onExit, choice, { name: "on-exit", durable: false });
}
