import { DEFAULT_SCOPES, NEXT_CURSOR_HEADER, SCOPES } from "@wrenn/api-schema";
import type { Operations } from "../openapi/operation.ts";

const EMAIL = "ada@example.org";
const PASSWORD = "correct horse battery staple";
const SESSION = {
  token: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c3JfIn0.c2lnbmF0dXJl",
  expires_at: "2026-11-01T18:00:00.000Z",
  user_id: "usr_0ada0ada0ada0ada0ada",
  email: EMAIL,
  team_id: "team_0own0own0own0own0own",
};
const KEY = {
  id: "key_3k9x0c2m4q8w1z7y5v6u",
  team_id: "team_3k9x0c2m4q8w1z7y5v6u",
  name: "CI",
  key_prefix: "wrn_8f2c1a",
  scopes: [...DEFAULT_SCOPES],
  created_at: "2026-11-01T12:00:00.000000Z",
};

export const authOperations: Operations = {
  "POST /v1/auth/signup": {
    id: "signUp",
    tag: "Accounts",
    summary: "Make an account",
    description:
      "Makes a user and a team that the user owns, and logs in. With an invitation the user joins that team as well, and the session is for it. Attempts from one address are limited.",
    errors: ["already_exists", "forbidden", "not_found", "rate_limited"],
    request: { body: { email: EMAIL, password: PASSWORD } },
    answers: { 201: { description: "A session.", example: SESSION } },
  },
  "POST /v1/auth/login": {
    id: "logIn",
    tag: "Accounts",
    summary: "Log in",
    description:
      "The session is for the user's default team, and ends after 6 hours. Wrong passwords are limited, for each account and for each address.",
    errors: ["unauthorized", "rate_limited"],
    request: { body: { email: EMAIL, password: PASSWORD } },
    answers: { 200: { description: "A session.", example: SESSION } },
  },
  "POST /v1/auth/password": {
    id: "changePassword",
    tag: "Accounts",
    summary: "Change the password",
    description: "Ends every session of the user at once; the answer is a new one.",
    errors: ["conflict", "rate_limited"],
    request: { body: { current_password: PASSWORD, new_password: "battery staple correct horse" } },
    answers: { 200: { description: "A new session.", example: SESSION } },
  },
  "POST /v1/auth/switch-team": {
    id: "switchTeam",
    tag: "Accounts",
    summary: "Work in another team",
    description: "Gives a session for another team of the user; the old one goes on.",
    errors: ["not_found"],
    request: { body: { team_id: SESSION.team_id } },
    answers: { 200: { description: "A session for that team.", example: SESSION } },
  },
  "GET /v1/auth/me": {
    id: "whoAmI",
    tag: "Accounts",
    summary: "Tell who the request is from",
    errors: ["not_found"],
    answers: {
      200: {
        description: "The user or the key, its team, and what it may do.",
        example: {
          api_key: { id: "key_00first00first00firs", name: "First start" },
          team: { id: KEY.team_id, name: "Default" },
          role: "owner",
          scopes: [...SCOPES],
        },
      },
    },
  },
  "DELETE /v1/auth/session": {
    id: "logOut",
    tag: "Accounts",
    summary: "Log out",
    description: "Ends this session; others of the user go on.",
    answers: { 204: { description: "It has ended." } },
  },
  "POST /v1/api-keys": {
    id: "createApiKey",
    tag: "Keys",
    summary: "Make an API key",
    description:
      "The key itself is only in this answer. Without scopes it may do everything but change the team. Nobody gives a key more than they have.",
    errors: ["quota_exceeded"],
    request: { body: { name: "CI", expires_in_sec: 7_776_000 } },
    answers: {
      201: {
        description: "The key.",
        headers: { location: "Path of the key." },
        example: { ...KEY, key: "wrn_8f2c1a0b9d3e4f5061728394a5b6c7d8" },
      },
    },
  },
  "GET /v1/api-keys": {
    id: "listApiKeys",
    tag: "Keys",
    summary: "List the team's API keys",
    description: "Newest first, without the keys themselves.",
    request: { query: { limit: 10 } },
    answers: {
      200: {
        description: "A page of keys.",
        headers: { [NEXT_CURSOR_HEADER]: "Cursor of the next page, while more follows." },
        example: [KEY],
      },
    },
  },
  "DELETE /v1/api-keys/:id": {
    id: "deleteApiKey",
    tag: "Keys",
    summary: "Delete an API key",
    description: "It stops working at once.",
    request: { params: { id: KEY.id } },
    answers: { 204: { description: "It is deleted." } },
  },
};
