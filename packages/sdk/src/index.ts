export { WrennError, type WrennErrorDetails } from "./errors.ts";
export type { EventOptions } from "./events.ts";
export {
  Execution,
  type AttachOptions,
  type ExecutionEvent,
  type ExecutionOptions,
  type ExitEvent,
  type OutputEvent,
} from "./execution.ts";
export { SandboxFiles, type FileOptions } from "./files.ts";
export type * from "./generated.ts";
export type { Sandbox as SandboxData } from "./generated.ts";
export { Sandbox, type RunOptions, type RunResult } from "./sandbox.ts";
export { serverEvents, type ServerEvent } from "./server-events.ts";
export type {
  Answer,
  CallArguments,
  CallOptions,
  Input,
  OperationId,
  WebSocketLike,
  WrennOptions,
} from "./transport.ts";
export type { FileChange, WatchOptions } from "./watch.ts";
export { Sandboxes, Wrenn } from "./wrenn.ts";
