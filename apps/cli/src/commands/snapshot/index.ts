import type { CommandGroup } from "../../define-command.ts";
import { listSnapshotsCommand } from "../template/list.ts";
import { rmSnapshotCommand } from "../template/rm.ts";
import { verifyCommand } from "./verify.ts";

export const snapshotGroup: CommandGroup = {
  name: "snapshot",
  summary: "The templates that were made of sandboxes",
  examples: [
    ["wrenn sandbox snapshot --name before-upgrade $id", "make one"],
    ["wrenn run -T before-upgrade -- true", "a new sandbox from it"],
    ["wrenn snapshot verify", "are all of them intact?"],
  ],
  commands: [listSnapshotsCommand, rmSnapshotCommand, verifyCommand],
};
