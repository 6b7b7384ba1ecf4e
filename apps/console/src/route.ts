/** Where the user is: the part of the address behind #, so that a reload comes back to it. */
import { useSyncExternalStore } from "react";

function subscribe(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}

/** Its segments: `#/sandboxes/sb1/terminal` is `["sandboxes", "sb1", "terminal"]`. */
export function useRoute(): string[] {
  const hash = useSyncExternalStore(subscribe, () => location.hash);
  return hash.replace(/^#\/?/, "").split("/").filter(Boolean);
}

export function goTo(path: string): void {
  location.hash = `#/${path}`;
}
