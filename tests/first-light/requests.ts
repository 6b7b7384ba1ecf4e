/** Requests to a platform's API as its user makes them. */

/** One request; a body is sent as JSON. */
export type Request = (
  method: string,
  path: string,
  body?: unknown,
) => Promise<{ status: number; body: any; headers: Headers }>;

export function requestsTo(url: string, apiKey: string): Request {
  return async (method, path, body) => {
    const response = await fetch(url + path, {
      method,
      headers: { "x-api-key": apiKey, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: text === "" ? undefined : JSON.parse(text), headers: response.headers };
  };
}
