import { NEXT_CURSOR_HEADER } from "@wrenn/api-schema";
import type { Operations } from "../openapi/operation.ts";

const params = { id: "sb3k9x0c2m4q8w1z7y5v6u" };

export const SANDBOX_EXAMPLE = {
  id: params.id,
  status: "running",
  template: "base",
  vcpus: 1,
  memory_mb: 512,
  disk_mb: 2_048,
  timeout_sec: 300,
  on_timeout: "destroy",
  metadata: { purpose: "try" },
  created_at: "2026-11-01T12:00:00.000000Z",
  started_at: "2026-11-01T12:00:00.400000Z",
  last_active_at: "2026-11-01T12:00:00.400000Z",
  last_updated: "2026-11-01T12:00:00.400000Z",
};

export const sandboxOperations: Operations = {
  "POST /v1/sandboxes": {
    id: "createSandbox",
    tag: "Sandboxes",
    summary: "Create a sandbox",
    description:
      "Answers when its guest can be used. Every field may be left out, and so may the body. Goes on to its end also when the client goes away.",
    usesHost: true,
    errors: ["not_found", "conflict"],
    request: { body: { template: "base", timeout_sec: 300, metadata: { purpose: "try" } } },
    answers: {
      201: { description: "It runs.", headers: { location: "Path of the sandbox." }, example: SANDBOX_EXAMPLE },
    },
  },
  "GET /v1/sandboxes": {
    id: "listSandboxes",
    tag: "Sandboxes",
    summary: "List sandboxes",
    description: "Newest first; without those that are gone unless `status` says so.",
    request: { query: { limit: 10, status: "running,paused" } },
    answers: {
      200: {
        description: "A page of sandboxes.",
        headers: { [NEXT_CURSOR_HEADER]: "Cursor of the next page, while more follows." },
        example: [SANDBOX_EXAMPLE],
      },
    },
  },
  "GET /v1/sandboxes/:id": {
    id: "getSandbox",
    tag: "Sandboxes",
    summary: "Describe a sandbox",
    request: { params },
    answers: { 200: { description: "The sandbox, in whatever status it is.", example: SANDBOX_EXAMPLE } },
  },
  "DELETE /v1/sandboxes/:id": {
    id: "destroySandbox",
    tag: "Sandboxes",
    summary: "Destroy a sandbox",
    description: "In whatever status it is; harmless when it is gone already.",
    usesHost: true,
    request: { params },
    answers: { 204: { description: "It is gone." } },
  },
  "POST /v1/sandboxes/:id/pause": {
    id: "pauseSandbox",
    tag: "Sandboxes",
    summary: "Pause a sandbox",
    description: "Writes memory and disk, and answers when they are durable. A pause that fails leaves it running.",
    usesHost: true,
    errors: ["invalid_state", "conflict"],
    request: { params },
    answers: { 200: { description: "It is paused.", example: { ...SANDBOX_EXAMPLE, status: "paused" } } },
  },
  "POST /v1/sandboxes/:id/resume": {
    id: "resumeSandbox",
    tag: "Sandboxes",
    summary: "Resume a paused sandbox",
    description: "It goes on where it was paused. A resume that fails leaves it paused.",
    usesHost: true,
    errors: ["invalid_state", "conflict", "incompatible_snapshot"],
    request: { params },
    answers: { 200: { description: "It runs.", example: SANDBOX_EXAMPLE } },
  },
  "POST /v1/sandboxes/:id/ping": {
    id: "pingSandbox",
    tag: "Sandboxes",
    summary: "Count as activity",
    description: "The idle timeout starts again.",
    usesHost: true,
    errors: ["invalid_state", "stale_incarnation"],
    request: { params },
    answers: { 204: { description: "Noted." } },
  },
  "POST /v1/sandboxes/:id/timeout": {
    id: "setSandboxTimeout",
    tag: "Sandboxes",
    summary: "Set the idle timeout",
    description: "Counts as activity.",
    usesHost: true,
    errors: ["invalid_state", "conflict", "stale_incarnation"],
    request: { params, body: { timeout_sec: 600 } },
    answers: { 200: { description: "The sandbox.", example: { ...SANDBOX_EXAMPLE, timeout_sec: 600 } } },
  },
};
