import type { Operations } from "../openapi/operation.ts";

export const healthOperations: Operations = {
  "GET /health": {
    id: "health",
    tag: "Platform",
    summary: "Tell whether the process is alive",
    open: true,
    answers: { 200: { description: "It is.", example: { status: "ok", version: "0.1.0" } } },
  },
  "GET /ready": {
    id: "ready",
    tag: "Platform",
    summary: "Tell whether requests can be served",
    description: "When not, the error's message names what does not answer: the database, the host agent.",
    open: true,
    answers: { 200: { description: "They can.", example: { status: "ready", version: "0.1.0" } } },
  },
};
