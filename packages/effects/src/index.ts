export { failpoint } from "./failpoint.ts";
export { copyFile, flush, hardLink, publishDirectory, remove, rename, statIfExists, writeFileAtomic } from "./files.ts";
export { kill, run, start, type RunOptions, type RunResult } from "./processes.ts";
