/** Who uses this browser: an API key or a session's token, kept over reloads. */
import { useSyncExternalStore } from "react";
import { Wrenn } from "@wrenn/sdk";

const KEY = "wrenn.credentials";

export interface Credentials {
  kind: "key" | "session";
  value: string;
  /** What is shown of it. */
  name: string;
}

const listeners = new Set<() => void>();

export function readCredentials(): Credentials | undefined {
  const text = localStorage.getItem(KEY);
  return text === null ? undefined : (JSON.parse(text) as Credentials);
}

export function keepCredentials(credentials: Credentials | undefined): void {
  if (credentials === undefined) localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, JSON.stringify(credentials));
  for (const listener of listeners) listener();
}

export function useCredentials(): Credentials | undefined {
  const text = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => localStorage.getItem(KEY),
  );
  return text === null ? undefined : (JSON.parse(text) as Credentials);
}

/** A client with these credentials; without them, for signing in. */
export function clientOf(credentials: Credentials | undefined): Wrenn {
  if (credentials === undefined) return new Wrenn();
  return credentials.kind === "key"
    ? new Wrenn({ apiKey: credentials.value })
    : new Wrenn({ token: () => credentials.value });
}
