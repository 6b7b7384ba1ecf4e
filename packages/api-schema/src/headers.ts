/** Headers of the API, in lower case as Node gives them. */
export const API_KEY_HEADER = "x-api-key";
/** Echoed when the client sends a usable one, minted otherwise. */
export const REQUEST_ID_HEADER = "x-request-id";
/** Set on a page of a list while more follows. */
export const NEXT_CURSOR_HEADER = "x-next-cursor";
/** `Bearer` and the token of a session, for people who logged in. */
export const AUTHORIZATION_HEADER = "authorization";
