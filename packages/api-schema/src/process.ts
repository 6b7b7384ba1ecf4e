import { Type, type Static } from "typebox";

/** A process that was started through the API and runs. */
export const GuestProcessInfo = Type.Object(
  {
    pid: Type.Integer(),
    cmd: Type.String(),
    args: Type.Array(Type.String()),
    cwd: Type.String(),
  },
  { $id: "Process" },
);
export type GuestProcessInfo = Static<typeof GuestProcessInfo>;
