/** What a page reads from the platform when it is opened, and again when it is told to. */
import { useCallback, useEffect, useState } from "react";

export interface Loaded<T> {
  /** Undefined until the first answer. */
  data: T | undefined;
  error: unknown;
  reload: () => void;
}

/** @param read anew when it changes: wrap it in `useCallback` */
export function useLoaded<T>(read: (signal: AbortSignal) => Promise<T>): Loaded<T> {
  const [data, setData] = useState<T>();
  const [error, setError] = useState<unknown>();
  const [round, setRound] = useState(0);
  useEffect(() => {
    const stop = new AbortController();
    read(stop.signal).then(
      (answer) => {
        if (stop.signal.aborted) return;
        setData(answer);
        setError(undefined);
      },
      (thrown: unknown) => {
        if (!stop.signal.aborted) setError(thrown);
      },
    );
    return () => stop.abort();
  }, [read, round]);
  return { data, error, reload: useCallback(() => setRound((before) => before + 1), []) };
}
