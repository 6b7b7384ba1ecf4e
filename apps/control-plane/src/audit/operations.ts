import { NEXT_CURSOR_HEADER } from "@wrenn/api-schema";
import type { Operations } from "../openapi/operation.ts";

export const auditOperations: Operations = {
  "GET /v1/teams/:team_id/audit-log": {
    id: "listAuditLog",
    tag: "Teams",
    summary: "Tell who did what",
    description: "Every change of the team and its things that succeeded, newest first.",
    request: { params: { team_id: "team_3k9x0c2m4q8w1z7y5v6u" }, query: { limit: 10 } },
    answers: {
      200: {
        description: "A page of entries.",
        headers: { [NEXT_CURSOR_HEADER]: "Cursor of the next page, while more follows." },
        example: [
          {
            id: "aud_00000000000000000042",
            action: "sandbox.create",
            actor: { type: "api_key", id: "key_3k9x0c2m4q8w1z7y5v6u", name: "CI" },
            target_id: "sb3k9x0c2m4q8w1z7y5v6u",
            request_id: "req_3k9x0c2m4q8w1z7y5v6u",
            address: "203.0.113.7",
            details: {},
            created_at: "2026-11-01T12:00:00.000000Z",
          },
        ],
      },
    },
  },
};
