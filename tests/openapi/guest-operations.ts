/** Operations that end in a guest, by their ids: a model of a host cannot answer them. */
export const GUEST_OPERATIONS = [
  "exec",
  "execStream",
  "readFile",
  "writeFile",
  "readFileByPost",
  "streamReadFile",
  "writeFileForm",
  "streamWriteFileForm",
  "makeDirectory",
  "statFile",
  "listFiles",
  "moveFile",
  "removeFile",
  "watchFiles",
  "readTar",
  "writeTar",
  "getSandboxMetrics",
  "readSandboxLogs",
  "listProcesses",
  "listSandboxOperations",
] as const;

/** Operations that no request-and-answer tool can call: WebSockets, answers without an end, archives. */
export const STREAM_OPERATIONS: readonly string[] = [
  "execStream",
  "watchFiles",
  "streamEvents",
  "readSandboxLogs",
  "writeTar",
];
