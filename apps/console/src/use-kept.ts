/** State that a reload of the page does not lose; it ends with the browser's tab. */
import { useEffect, useState } from "react";

const PREFIX = "wrenn.kept.";

export function readKept<T>(key: string): T | undefined {
  try {
    const text = sessionStorage.getItem(PREFIX + key);
    return text === null ? undefined : (JSON.parse(text) as T);
  } catch {
    return undefined; // of another release
  }
}

export function keep(key: string, value: unknown): void {
  try {
    if (value === undefined) sessionStorage.removeItem(PREFIX + key);
    else sessionStorage.setItem(PREFIX + key, JSON.stringify(value));
  } catch {
    // the browser's space is used up: then it is lost
  }
}

/** @param key what it is and of which sandbox; of a component that is mounted anew when the key changes */
export function useKept<T>(key: string, initial: T) {
  const [value, setValue] = useState<T>(() => readKept<T>(key) ?? initial);
  useEffect(() => keep(key, value), [key, value]);
  return [value, setValue] as const;
}
