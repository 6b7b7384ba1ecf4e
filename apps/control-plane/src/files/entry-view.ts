/** A file or directory as clients see it. */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { FILE_CHANGES, FileEntry } from "@wrenn/api-schema";
import { envdFilesystem } from "@wrenn/protocol";

const { EventType, FileType } = envdFilesystem;

export function entryViewOf(entry: envdFilesystem.EntryInfo): FileEntry {
  return {
    name: entry.name,
    path: entry.path,
    type: typeOf(entry),
    size: Number(entry.size),
    mode: entry.mode,
    permissions: entry.permissions,
    owner: entry.owner,
    group: entry.group,
    ...(entry.modifiedTime === undefined ? {} : { modified_at: timestampDate(entry.modifiedTime).toISOString() }),
    ...(entry.symlinkTarget === undefined ? {} : { symlink_target: entry.symlinkTarget }),
  };
}

function typeOf({ type, symlinkTarget }: envdFilesystem.EntryInfo): FileEntry["type"] {
  switch (type) {
    case FileType.FILE:
      return "file";
    case FileType.DIRECTORY:
      return "directory";
    case FileType.SYMLINK:
      return "symlink";
    case FileType.UNSPECIFIED:
      return symlinkTarget === undefined ? "other" : "symlink"; // a link to nowhere
  }
}

/** Undefined for a kind of change that this release does not know. */
export function changeOf(type: envdFilesystem.EventType): (typeof FILE_CHANGES)[number] | undefined {
  switch (type) {
    case EventType.CREATE:
      return "create";
    case EventType.WRITE:
      return "write";
    case EventType.REMOVE:
      return "remove";
    case EventType.RENAME:
      return "rename";
    case EventType.CHMOD:
      return "chmod";
    case EventType.UNSPECIFIED:
      return undefined;
  }
}
