import { WrennError } from "@wrenn/errors";

/** @throws WrennError `needs_root`; `otherwise` is what else the user can do, a part of a sentence. */
export function requireRoot(action: string, otherwise?: string): void {
  if (process.getuid?.() === 0) return;
  throw new WrennError("needs_root", `Cannot ${action}: that needs root`, {
    hint: `Run the same command as root, for example with sudo${otherwise === undefined ? "" : `, ${otherwise}`}`,
  });
}
