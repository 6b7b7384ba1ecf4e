export { failpoint } from "./failpoint.ts";
export { tryLock, waitForLock, type FileLock } from "./file-lock.ts";
export {
  cloneFile,
  copyFile,
  flush,
  hardLink,
  ifExists,
  publishDirectory,
  remove,
  removeEmptyDirectory,
  rename,
  stageFile,
  statIfExists,
  writeFileAtomic,
  type StagedFile,
} from "./files.ts";
export { findProgram } from "./find-program.ts";
export { kill, run, start, type RunOptions, type RunResult } from "./processes.ts";
