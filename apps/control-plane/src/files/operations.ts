import type { Operations } from "../openapi/operation.ts";

const params = { id: "sb3k9x0c2m4q8w1z7y5v6u" };

export const fileOperations: Operations = {
  "GET /v1/sandboxes/:id/files": {
    id: "readFile",
    tag: "Files",
    summary: "Read a file",
    description:
      "Streamed, without a limit of size; `Range` and `If-Range` are honoured. A transfer that breaks breaks the connection.",
    usesHost: true,
    errors: ["invalid_state", "stale_incarnation"],
    request: { params, query: { path: "/etc/os-release" } },
    answers: {
      200: { description: "The file.", contentType: "application/octet-stream" },
      206: { description: "The part that `Range` asked for.", contentType: "application/octet-stream" },
    },
  },
  "PUT /v1/sandboxes/:id/files": {
    id: "writeFile",
    tag: "Files",
    summary: "Write a file",
    description: "The body is the file, whatever its content type says. Missing directories are made.",
    usesHost: true,
    errors: ["invalid_state", "stale_incarnation"],
    request: {
      params,
      query: { path: "notes/today.txt" },
      contentType: "application/octet-stream",
      body: "kept\n",
    },
    answers: {
      200: { description: "The guest has all of it.", example: { path: "notes/today.txt", size: 5 } },
    },
  },
};
