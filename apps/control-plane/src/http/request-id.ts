/** Request ids: the caller's own one when it is usable, so that logs on both sides can be joined. */
import type { IncomingMessage } from "node:http";
import { REQUEST_ID_HEADER } from "@wrenn/api-schema";
import { newId } from "../database/ids.ts";

const USABLE = /^[A-Za-z0-9._:-]{1,128}$/;

export function requestIdOf(request: Pick<IncomingMessage, "headers">): string {
  const given = request.headers[REQUEST_ID_HEADER];
  return typeof given === "string" && USABLE.test(given) ? given : newId("req_");
}
