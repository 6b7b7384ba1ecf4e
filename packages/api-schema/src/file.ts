import { Type, type Static } from "typebox";
import { LIMITS } from "./limits.ts";

export const FileQuery = Type.Object(
  {
    path: Type.String({
      minLength: 1,
      maxLength: LIMITS.maxPathLength,
      pattern: "^[^\\u0000]+$",
      description: "Path in the guest; relative ones start at the user's home.",
    }),
    user: Type.Optional(Type.String({ minLength: 1, maxLength: LIMITS.maxUserLength, pattern: "^[^\\u0000:/]+$" })),
  },
  { additionalProperties: false },
);
export type FileQuery = Static<typeof FileQuery>;

/** Answer of an upload: what was written, when it is in the guest's file system. */
export const FileWritten = Type.Object(
  {
    path: Type.String({ description: "The path as it was given." }),
    size: Type.Integer({ description: "Bytes." }),
  },
  { $id: "FileWritten" },
);
export type FileWritten = Static<typeof FileWritten>;
