export { WrennError, type WrennErrorDetails } from "./errors.ts";
export {
  Execution,
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
export { Sandboxes, Wrenn } from "./wrenn.ts";
