/** Files of a sandbox beside their contents: hostagent.v1 on one side, the guest agent on the other. */
import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { WrennError } from "@wrenn/errors";
import { hostagent } from "@wrenn/protocol";
import { errorOfFileCall } from "../envd/guest-errors.ts";
import { basicUser } from "../envd/run-in-guest.ts";
import type { GuestAgent } from "../envd/guest-agent.ts";
import type { SandboxManager } from "../sandbox/manager.ts";
import { connectErrorOf } from "./errors.ts";
import { checkedId, incarnationOf } from "./messages.ts";

type FileMethods = "statFile" | "listFiles" | "makeDirectory" | "moveFile" | "removeFile" | "watchFiles";

export function fileService(
  manager: SandboxManager,
): Pick<ServiceImpl<typeof hostagent.HostAgentService>, FileMethods> {
  /** One call to the guest agent as the named user, counted as activity. */
  async function call<T>(
    file: hostagent.FileRef | undefined,
    context: HandlerContext,
    work: (guest: GuestAgent["files"], path: string, options: CallAs) => Promise<T>,
  ): Promise<T> {
    try {
      const { sandboxId, incarnation, path, user } = named(file);
      using lease = manager.use(checkedId(sandboxId), incarnationOf(incarnation));
      return await work(lease.agent.files, path, { headers: basicUser(user), signal: context.signal });
    } catch (error) {
      throw connectErrorOf(errorOfFileCall(error));
    }
  }

  return {
    async statFile({ file }, context) {
      const { entry } = await call(file, context, (guest, path, as) => guest.stat({ path }, as));
      return entry === undefined ? {} : { entry };
    },

    async listFiles({ file, depth }, context) {
      const { entries } = await call(file, context, (guest, path, as) => guest.listDir({ path, depth }, as));
      return { entries };
    },

    async makeDirectory({ file }, context) {
      const { entry } = await call(file, context, (guest, path, as) => guest.makeDir({ path }, as));
      return entry === undefined ? {} : { entry };
    },

    async moveFile({ file, destination }, context) {
      const { entry } = await call(file, context, (guest, source, as) => guest.move({ source, destination }, as));
      return entry === undefined ? {} : { entry };
    },

    async removeFile({ file }, context) {
      await call(file, context, (guest, path, as) => guest.remove({ path }, as));
      return {};
    },

    async *watchFiles({ file, recursive }, context) {
      try {
        const { sandboxId, incarnation, path, user } = named(file);
        using lease = manager.use(checkedId(sandboxId), incarnationOf(incarnation));
        const changes = lease.agent.files.watchDir(
          { path, recursive },
          { headers: basicUser(user), signal: context.signal },
        );
        for await (const { event } of changes) {
          if (event.case === "start")
            yield { event: { case: "started", value: create(hostagent.WatchFilesResponse_StartedSchema) } };
          else if (event.case === "filesystem") yield { event: { case: "changed", value: event.value } };
          else yield { event: { case: "keepalive", value: create(hostagent.WatchFilesResponse_KeepAliveSchema) } };
        }
      } catch (error) {
        throw connectErrorOf(errorOfFileCall(error));
      }
    },
  };
}

interface CallAs {
  headers: Record<string, string>;
  signal: AbortSignal;
}

function named(file: hostagent.FileRef | undefined): hostagent.FileRef {
  if (file === undefined || file.path === "")
    throw new WrennError("invalid_request", "Cannot find the file: no path was given");
  return file;
}
