/** /v1/teams/{team_id}/usage and /quotas */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { SetQuotasRequest, TeamParams, Usage } from "@wrenn/api-schema";
import { auditDetails } from "../audit/record.ts";
import { callerOf, unknownTeam } from "../auth/authenticate.ts";
import type { Services } from "../services.ts";

export const quotaRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { quotas } = services;

  async function usageOf(teamId: string): Promise<Usage> {
    const found = await quotas.usage(teamId);
    if (found === undefined) throw unknownTeam(teamId);
    const { used, limits } = found;
    const view = (amount: number, limit: number | undefined) => ({
      used: amount,
      ...(limit === undefined ? {} : { limit }),
    });
    return {
      running_sandboxes: view(used.runningSandboxes, limits.runningSandboxes),
      vcpus: view(used.vcpus, limits.vcpus),
      memory_mb: view(used.memoryMib, limits.memoryMib),
      snapshot_bytes: view(used.snapshotBytes, limits.snapshotBytes),
    };
  }

  app.get(
    "/teams/:team_id/usage",
    { schema: { params: TeamParams, response: { 200: Usage } } },
    async (request) => await usageOf(callerOf(request).teamId),
  );

  app.put(
    "/teams/:team_id/quotas",
    { schema: { params: TeamParams, body: SetQuotasRequest, response: { 200: Usage } } },
    async (request) => {
      const { teamId } = callerOf(request);
      const { running_sandboxes: runningSandboxes, vcpus, memory_mb: memoryMib, snapshot_bytes } = request.body;
      await quotas.setLimits(teamId, { runningSandboxes, vcpus, memoryMib, snapshotBytes: snapshot_bytes });
      auditDetails(request, request.body);
      return await usageOf(teamId);
    },
  );
};
