/** Sends requests with autocannon and tells how fast they were answered, and whether every one was. */
import autocannon, { type Request } from "autocannon";

/** Creates of real VMs wait for each other. */
const TIMEOUT_SEC = 600;

export interface Target {
  /** Where its sandboxes are: `http://127.0.0.1:7780/v1/sandboxes`. */
  sandboxesUrl: string;
  headers: Record<string, string>;
}

/** One of what is measured, with the sandbox that it is about. */
export type Operation = "get" | "list" | "create-destroy" | "exec";

export interface Load {
  clients: number;
  requests: number;
}

export interface Measured {
  perSecond: number;
  p50Ms: number;
  p99Ms: number;
  /** Requests that were sent and not answered with success. */
  lost: number;
}

export async function measure(
  { sandboxesUrl, headers }: Target,
  operation: Operation,
  sandboxId: string,
  { clients, requests }: Load,
): Promise<Measured> {
  const { origin, pathname } = new URL(sandboxesUrl);
  const durationsMs: number[] = [];
  let answered = 0;
  let lastAnswerAt = 0;
  const startedAt = performance.now();
  const ended = Promise.withResolvers<void>();
  const options = {
    url: origin,
    headers,
    connections: clients,
    amount: requests,
    timeout: TIMEOUT_SEC,
    requests: requestsOf(operation, pathname, sandboxId),
  };
  const instance = autocannon(options, (error: Error | null) =>
    error === null ? ended.resolve() : ended.reject(error),
  );
  // the histogram of autocannon is in whole milliseconds
  instance.on("response", (_client, status, _bytes, durationMs) => {
    lastAnswerAt = performance.now();
    durationsMs.push(durationMs);
    if (status >= 200 && status < 300) answered++;
  });
  await ended.promise;
  durationsMs.sort((a, b) => a - b);
  const quantile = (q: number) => durationsMs[Math.min(durationsMs.length - 1, Math.floor(q * durationsMs.length))];
  return {
    perSecond: durationsMs.length / ((lastAnswerAt - startedAt) / 1_000),
    p50Ms: quantile(0.5) ?? Number.NaN,
    p99Ms: quantile(0.99) ?? Number.NaN,
    lost: requests - answered,
  };
}

function requestsOf(operation: Operation, path: string, sandboxId: string): Request[] {
  const json = { "content-type": "application/json" };
  switch (operation) {
    case "get":
      return [{ method: "GET", path: `${path}/${sandboxId}` }];
    case "list":
      return [{ method: "GET", path: `${path}?limit=20` }];
    case "exec":
      return [
        {
          method: "POST",
          path: `${path}/${sandboxId}/exec`,
          headers: json,
          body: JSON.stringify({ cmd: "/bin/true" }),
        },
      ];
    case "create-destroy":
      return [
        {
          method: "POST",
          path,
          headers: json,
          body: JSON.stringify({ memory_mb: 128 }),
          onResponse: (_status, body, context) => Object.assign(context, JSON.parse(body)),
        },
        {
          method: "DELETE",
          setupRequest: (request, context) => ({ ...request, path: `${path}/${(context as { id: string }).id}` }),
        },
      ];
  }
}
