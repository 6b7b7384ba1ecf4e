/** Headers of the API, in lower case as Node gives them. */
export const API_KEY_HEADER = "x-api-key";
/** Echoed when the client sends a usable one, minted otherwise. */
export const REQUEST_ID_HEADER = "x-request-id";
/** Set on a page of a list while more follows. */
export const NEXT_CURSOR_HEADER = "x-next-cursor";
/** `Bearer` and the token of a session, for people who logged in. */
export const AUTHORIZATION_HEADER = "authorization";
/** Names a create, so that repeating it makes nothing twice. */
export const IDEMPOTENCY_KEY_HEADER = "idempotency-key";
/** On an answer that was given before under the same idempotency key. */
export const IDEMPOTENT_REPLAY_HEADER = "x-idempotent-replay";
/** Where a browser's WebSocket carries its ticket: `wrenn.v1, wrenn.ticket.<ticket>`. */
export const WEBSOCKET_PROTOCOL = "wrenn.v1";
export const TICKET_PROTOCOL_PREFIX = "wrenn.ticket.";
