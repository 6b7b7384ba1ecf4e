/** The deadlines of a sandbox as the host agent wants them. */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { hostagent } from "@wrenn/protocol";
import type { SandboxRow } from "../database/tables.ts";

export function deadlineOf(row: Pick<SandboxRow, "idle_timeout_sec" | "end_at" | "on_timeout">): hostagent.Deadline {
  return create(hostagent.DeadlineSchema, {
    idleTimeoutSec: row.idle_timeout_sec,
    onTimeout: row.on_timeout === "pause" ? hostagent.OnTimeout.PAUSE : hostagent.OnTimeout.DESTROY,
    ...(row.end_at === null ? {} : { endAt: timestampFromMs(Date.parse(row.end_at)) }),
  });
}
