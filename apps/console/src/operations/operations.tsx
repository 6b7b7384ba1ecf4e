import { useCallback } from "react";
import type { Operation, Wrenn } from "@wrenn/sdk";
import { Empty, Loading } from "../empty.tsx";
import { Problem } from "../problem.tsx";
import { useLoaded } from "../use-loaded.ts";
import { Waterfall } from "./waterfall.tsx";

/**
 * What was done to a sandbox on its host, newest first, each with its stages.
 * @param version changes when something was done: then it is read again
 */
export function Operations({ client, id, version }: { client: Wrenn; id: string; version: string }) {
  const { data, error } = useLoaded(
    useCallback(
      async (signal: AbortSignal): Promise<Operation[]> =>
        await client.call("listSandboxOperations", { path: { id }, signal }),
      // read again for each version
      [client, id, version],
    ),
  );
  return (
    <>
      <Problem error={error} />
      {data === undefined ? (
        error === undefined && <Loading />
      ) : data.length === 0 ? (
        <Empty title="Nothing was recorded yet">
          Pause it, resume it or fork it: the stages of each are told here.
        </Empty>
      ) : (
        data
          .toReversed()
          .map((operation) => <Waterfall key={`${operation.started_at} ${operation.operation}`} of={operation} />)
      )}
    </>
  );
}
