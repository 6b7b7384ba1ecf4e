/** For tests: requests in the name of people and keys. */
import type { FastifyInstance, InjectOptions } from "fastify";
import type { Session } from "@wrenn/api-schema";

export interface Answer {
  status: number;
  headers: Readonly<Record<string, unknown>>;
  body: any;
}

/** What a request carries beside its body. */
export type Headers = Readonly<Record<string, string>>;

export const PASSWORD = "correct horse battery staple";

/** Sends a request with a JSON body, if there is one. */
export async function request(
  app: FastifyInstance,
  method: InjectOptions["method"] & string,
  url: string,
  headers: Headers = {},
  payload?: unknown,
): Promise<Answer> {
  const answer = await app.inject({
    method: method as "GET",
    url,
    headers: { ...(payload === undefined ? {} : { "content-type": "application/json" }), ...headers },
    ...(payload === undefined ? {} : { payload: typeof payload === "string" ? payload : JSON.stringify(payload) }),
  });
  const { statusCode: status, body } = answer;
  return { status, headers: answer.headers, body: body === "" ? undefined : safeParse(body) };
}

let people = 0;

/** A person who has signed up, from an address of their own, for sign-ups from one address are limited. */
export async function signUp(app: FastifyInstance, email: string): Promise<Session> {
  people++;
  const answer = await app.inject({
    method: "POST",
    url: "/v1/auth/signup",
    remoteAddress: `198.18.${people >> 8}.${people & 255}`,
    payload: { email, password: PASSWORD },
  });
  if (answer.statusCode !== 201) throw new Error(`Cannot sign up ${email}: ${answer.body}`);
  return answer.json<Session>();
}

export function bearer({ token }: { token: string }): Headers {
  return { authorization: `Bearer ${token}` };
}

function safeParse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
