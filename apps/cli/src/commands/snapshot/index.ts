import type { CommandGroup } from "../../define-command.ts";
import { listSnapshotsCommand } from "../template/list.ts";
import { rmSnapshotCommand } from "../template/rm.ts";
import { verifyCommand } from "./verify.ts";

export const snapshotGroup: CommandGroup = {
  name: "snapshot",
  summary: "The templates that were made of sandboxes",
  commands: [listSnapshotsCommand, rmSnapshotCommand, verifyCommand],
};
