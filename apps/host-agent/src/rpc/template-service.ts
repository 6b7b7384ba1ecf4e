/** Template builds that are made of sandboxes: hostagent.v1 over the manager. */
import type { ServiceImpl } from "@connectrpc/connect";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { hostagent } from "@wrenn/protocol";
import type { SandboxManager } from "../sandbox/manager.ts";
import type { ListedBuild } from "../sandbox/template-operations.ts";
import { checkedBuildId, checkedTemplateName } from "../template/template-name.ts";
import { mapped } from "./errors.ts";
import { checkedId, incarnationOf, stageMessages } from "./messages.ts";

type TemplateMethods = "snapshotSandbox" | "listTemplateBuilds" | "deleteTemplateBuild" | "verifyTemplateBuild";

export function templateService(
  manager: SandboxManager,
): Pick<ServiceImpl<typeof hostagent.HostAgentService>, TemplateMethods> {
  const { templates } = manager;
  return {
    snapshotSandbox: ({ id, incarnation, buildId, name }) =>
      mapped(async () => {
        const { build, stages } = await manager.snapshot({
          id: checkedId(id),
          incarnation: incarnationOf(incarnation),
          buildId: checkedBuildId(buildId),
          name: checkedTemplateName(name),
        });
        return { build: messageOf(await templates.describe(build)), stages: stageMessages(stages) };
      }),

    listTemplateBuilds: () => mapped(async () => ({ builds: (await templates.list()).map(messageOf) })),

    deleteTemplateBuild: ({ buildId }) =>
      mapped(async () => ({ deferred: await templates.delete(checkedBuildId(buildId)) })),

    verifyTemplateBuild: ({ buildId }) =>
      mapped(async () => ({
        files: (await templates.verify(checkedBuildId(buildId))).map(({ name, bytes, intact }) => ({
          name,
          bytes: BigInt(bytes),
          intact,
        })),
      })),
  };
}

function messageOf({
  buildId,
  name,
  resources,
  createdAt,
  sizeBytes,
  sharedBytes,
}: ListedBuild): hostagent.TemplateBuild {
  const message: MessageInitShape<typeof hostagent.TemplateBuildSchema> = {
    buildId,
    name,
    resources,
    createdAt: timestampFromDate(new Date(createdAt)),
    sizeBytes: BigInt(sizeBytes),
    sharedBytes: BigInt(sharedBytes),
  };
  return create(hostagent.TemplateBuildSchema, message);
}
