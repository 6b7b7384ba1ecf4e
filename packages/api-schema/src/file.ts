import { Type, type Static } from "typebox";
import { ErrorFrame } from "./error.ts";
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

/** Body of the reads that are POST requests. */
export const ReadFileRequest = Type.Object(FileQuery.properties, { $id: "ReadFile", additionalProperties: false });
export type ReadFileRequest = Static<typeof ReadFileRequest>;

/** Query of a multipart upload: the path may be a part of the form instead. */
export const UploadQuery = Type.Object(
  { path: Type.Optional(FileQuery.properties.path), user: FileQuery.properties.user },
  { additionalProperties: false },
);
export type UploadQuery = Static<typeof UploadQuery>;

const FILE_TYPES = ["file", "directory", "symlink", "other"] as const;

export const FileEntry = Type.Object(
  {
    name: Type.String(),
    path: Type.String({ description: "Absolute." }),
    type: Type.Enum(FILE_TYPES, { description: "Of what a symbolic link points at; `symlink` when that is missing." }),
    size: Type.Integer({ description: "Bytes." }),
    mode: Type.Integer({ description: "Permission bits, such as 420 for 0644." }),
    permissions: Type.String({ description: "The same in letters." }),
    owner: Type.String(),
    group: Type.String(),
    modified_at: Type.Optional(Type.String({ format: "date-time" })),
    symlink_target: Type.Optional(Type.String()),
  },
  { $id: "FileEntry" },
);
export type FileEntry = Static<typeof FileEntry>;

export const ListFilesQuery = Type.Object(
  {
    ...FileQuery.properties,
    depth: Type.Integer({ minimum: 1, maximum: 64, default: 1, description: "Levels of directories." }),
  },
  { additionalProperties: false },
);
export type ListFilesQuery = Static<typeof ListFilesQuery>;

export const MoveFileRequest = Type.Object(
  {
    source: FileQuery.properties.path,
    destination: FileQuery.properties.path,
    user: FileQuery.properties.user,
  },
  { $id: "MoveFile", additionalProperties: false },
);
export type MoveFileRequest = Static<typeof MoveFileRequest>;

export const WatchFilesQuery = Type.Object(
  {
    ...FileQuery.properties,
    recursive: Type.Boolean({ default: false, description: "Also everything below." }),
  },
  { additionalProperties: false },
);
export type WatchFilesQuery = Static<typeof WatchFilesQuery>;

export const FILE_CHANGES = ["create", "write", "remove", "rename", "chmod"] as const;

/** Frames of `files/watch`; the last one is `error`. */
export const WatchFrame = Type.Union([
  Type.Object({ type: Type.Literal("start") }),
  Type.Object({
    type: Type.Enum(FILE_CHANGES),
    name: Type.String({ description: "Relative to the watched directory." }),
  }),
  ErrorFrame,
]);
export type WatchFrame = Static<typeof WatchFrame>;
