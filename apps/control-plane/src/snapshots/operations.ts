import { NEXT_CURSOR_HEADER } from "@wrenn/api-schema";
import type { Operations } from "../openapi/operation.ts";
import { SANDBOX_EXAMPLE } from "../sandboxes/operations.ts";
import { TEMPLATE_EXAMPLE } from "../templates/operations.ts";

const params = { name: "with-tools" };
const snapshot = { ...TEMPLATE_EXAMPLE, name: params.name, type: "snapshot" };

export const snapshotOperations: Operations = {
  "POST /v1/snapshots": {
    id: "createSnapshot",
    tag: "Snapshots",
    summary: "Make a template of a sandbox",
    description:
      "The sandbox stops only for what changed, and goes on. Sandboxes made from the template go on where it was: memory, processes, files.",
    usesHost: true,
    errors: [
      "not_found",
      "invalid_state",
      "conflict",
      "already_exists",
      "stale_incarnation",
      "incompatible_snapshot",
      "quota_exceeded",
    ],
    request: {
      query: { overwrite: true },
      body: { sandbox_id: SANDBOX_EXAMPLE.id, name: params.name },
    },
    answers: {
      201: { description: "The template.", headers: { location: "Path of the template." }, example: snapshot },
    },
  },
  "GET /v1/snapshots": {
    id: "listSnapshots",
    tag: "Snapshots",
    summary: "List the templates that were made of sandboxes",
    request: { query: { limit: 10 } },
    answers: {
      200: {
        description: "A page of templates, newest first.",
        headers: { [NEXT_CURSOR_HEADER]: "Cursor of the next page, while more follows." },
        example: [snapshot],
      },
    },
  },
  "POST /v1/snapshots/:name/verify": {
    id: "verifySnapshot",
    tag: "Snapshots",
    summary: "Read a snapshot's files and compare their checksums",
    usesHost: true,
    request: { params },
    answers: {
      200: {
        description: "What was found.",
        example: {
          name: params.name,
          build_id: snapshot.build_id,
          intact: true,
          files: [{ name: "mem", bytes: 134_217_728, intact: true }],
        },
      },
    },
  },
  "POST /v1/sandboxes/:id/fork": {
    id: "forkSandbox",
    tag: "Snapshots",
    summary: "Fork a sandbox",
    description:
      "Makes sandboxes that go on from this one's state: memory, processes, files. The source goes on as well.",
    usesHost: true,
    errors: ["invalid_state", "conflict", "stale_incarnation", "incompatible_snapshot", "quota_exceeded"],
    request: { params: { id: SANDBOX_EXAMPLE.id }, body: { count: 1, metadata: { purpose: "second try" } } },
    answers: {
      201: {
        description: "The children; they run.",
        example: [{ ...SANDBOX_EXAMPLE, id: "sb7v5y6u3k9x0c2m4q8w1z", metadata: { purpose: "second try" } }],
      },
    },
  },
  "DELETE /v1/snapshots/:name": {
    id: "deleteSnapshot",
    tag: "Snapshots",
    summary: "Delete a template that was made of a sandbox",
    description: "Sandboxes that were made from it keep what they need.",
    usesHost: true,
    errors: ["forbidden", "conflict"],
    request: { params },
    answers: { 204: { description: "It is deleted." } },
  },
};
