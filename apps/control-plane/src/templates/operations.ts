import { NEXT_CURSOR_HEADER } from "@wrenn/api-schema";
import type { Operations } from "../openapi/operation.ts";

export const TEMPLATE_EXAMPLE = {
  id: "tpl_3k9x0c2m4q8w1z7y5v6u",
  name: "base",
  type: "base",
  build_id: "bld_3k9x0c2m4q8w1z7y5v6u",
  vcpus: 1,
  memory_mb: 512,
  disk_mb: 2_048,
  size_bytes: 1_200_000_000,
  shared_bytes: 0,
  sandboxes: 1,
  created_at: "2026-11-01T12:00:00.000000Z",
};

export const templateOperations: Operations = {
  "GET /v1/templates": {
    id: "listTemplates",
    tag: "Templates",
    summary: "List templates",
    description:
      "The built-in templates and those of the team, newest first. A team's own template hides a built-in one of the same name.",
    request: { query: { limit: 10 } },
    answers: {
      200: {
        description: "A page of templates.",
        headers: { [NEXT_CURSOR_HEADER]: "Cursor of the next page, while more follows." },
        example: [TEMPLATE_EXAMPLE],
      },
    },
  },
  "GET /v1/templates/:name": {
    id: "getTemplate",
    tag: "Templates",
    summary: "Describe a template",
    request: { params: { name: "base" } },
    answers: { 200: { description: "The template.", example: TEMPLATE_EXAMPLE } },
  },
  "DELETE /v1/templates/:name": {
    id: "deleteTemplate",
    tag: "Templates",
    summary: "Delete a template of the team",
    description: "Sandboxes that were made from it keep what they need. A built-in template cannot be deleted.",
    usesHost: true,
    errors: ["forbidden", "conflict"],
    request: { params: { name: "with-tools" } },
    answers: { 204: { description: "It is deleted." } },
  },
};
