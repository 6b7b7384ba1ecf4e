import type { Operations } from "../openapi/operation.ts";

export const healthOperations: Operations = {
  "GET /health": {
    id: "health",
    tag: "Platform",
    summary: "Tell whether requests can be served",
    description: "When not, the error's message names what does not answer: the database, the host agent.",
    open: true,
    answers: { 200: { description: "It serves.", example: { status: "ok", version: "0.1.0" } } },
  },
};
