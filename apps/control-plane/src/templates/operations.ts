import { NEXT_CURSOR_HEADER } from "@wrenn/api-schema";
import type { Operations } from "../openapi/operation.ts";

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
        example: [
          {
            id: "tpl_3k9x0c2m4q8w1z7y5v6u",
            name: "base",
            type: "base",
            build_id: "bld_3k9x0c2m4q8w1z7y5v6u",
            vcpus: 1,
            memory_mb: 512,
            disk_mb: 2_048,
            size_bytes: 1_200_000_000,
            created_at: "2026-11-01T12:00:00.000000Z",
          },
        ],
      },
    },
  },
};
