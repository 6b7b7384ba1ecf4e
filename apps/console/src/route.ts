/** Where the user is: the part of the address behind #, so that a reload comes back to it. */
import { useSyncExternalStore } from "react";

function subscribe(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}

/** Its segments: `#/sandboxes/sb1/terminal` is `["sandboxes", "sb1", "terminal"]`. */
export function useRoute(): string[] {
  const hash = useSyncExternalStore(subscribe, () => location.hash);
  return hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeSegment);
}

/** The address of a page, from its segments. */
export function addressOf(...segments: readonly string[]): string {
  return `#/${segments.map(encodeURIComponent).join("/")}`;
}

export function goTo(...segments: readonly string[]): void {
  location.hash = addressOf(...segments);
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment; // typed by hand
  }
}
