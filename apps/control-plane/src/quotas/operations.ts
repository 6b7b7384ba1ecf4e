import type { Operations } from "../openapi/operation.ts";

const TEAM_ID = "team_3k9x0c2m4q8w1z7y5v6u";
const USAGE = {
  running_sandboxes: { used: 2, limit: 50 },
  vcpus: { used: 2, limit: 64 },
  memory_mb: { used: 1_024 },
  snapshot_bytes: { used: 83_886_080 },
};

export const quotaOperations: Operations = {
  "GET /v1/teams/:team_id/usage": {
    id: "getUsage",
    tag: "Teams",
    summary: "Tell what a team uses and may use",
    request: { params: { team_id: TEAM_ID } },
    answers: { 200: { description: "Amounts and limits.", example: USAGE } },
  },
  "PUT /v1/teams/:team_id/quotas": {
    id: "setQuotas",
    tag: "Platform",
    summary: "Limit what a team may use",
    description:
      "For who runs the platform, over any team. What is left out stays as it is; null means what the configuration says. What is above a lower limit stays; only more is refused.",
    request: { params: { team_id: TEAM_ID }, body: { running_sandboxes: 50, vcpus: 64, memory_mb: null } },
    answers: { 200: { description: "Amounts and limits.", example: USAGE } },
  },
};
