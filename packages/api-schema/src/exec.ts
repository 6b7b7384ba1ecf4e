import { Type, type Static } from "typebox";
import { LIMITS } from "./limits.ts";
import { Envs } from "./sandbox.ts";

/** What `exec` and the first frame of `exec/stream` have in common: how a process is started. */
export const ProcessProperties = {
  cmd: Type.String({
    minLength: 1,
    maxLength: LIMITS.maxCommandLength,
    pattern: "^[^\\u0000]*$",
    description: "Program, found through PATH.",
  }),
  args: Type.Optional(
    Type.Array(Type.String({ maxLength: LIMITS.maxCommandLength, pattern: "^[^\\u0000]*$" }), {
      maxItems: LIMITS.maxArgs,
      description: "Its arguments, as they are: no shell is in between.",
    }),
  ),
  envs: Type.Optional(Envs),
  cwd: Type.Optional(
    Type.String({
      maxLength: LIMITS.maxPathLength,
      pattern: "^[^\\u0000]*$",
      description: "Working directory; the user's home unless told.",
    }),
  ),
  user: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: LIMITS.maxUserLength,
      pattern: "^[^\\u0000:/]+$",
      description: "User name in the guest; the template's default unless told.",
    }),
  ),
};

/** How bytes are written in JSON. */
export const DataEncoding = Type.Enum(["utf-8", "base64"]);
export type DataEncoding = Static<typeof DataEncoding>;

export const ExecRequest = Type.Object(
  {
    ...ProcessProperties,
    stdin: Type.Optional(
      Type.String({
        description: `Standard input, at most ${LIMITS.maxStdinBytes} bytes; then it is closed.`,
      }),
    ),
    stdin_encoding: Type.Enum(["utf-8", "base64"], { default: "utf-8" }),
    timeout_sec: Type.Integer({
      minimum: 0,
      maximum: LIMITS.maxExecTimeoutSec,
      default: LIMITS.defaultExecTimeoutSec,
      description: `Seconds after which the process is killed; 0 means ${LIMITS.defaultExecTimeoutSec}.`,
    }),
  },
  { $id: "Exec", additionalProperties: false },
);
/** What the server sees: defaults are filled in. */
export type ExecRequest = Static<typeof ExecRequest>;

const output = {
  sandbox_id: Type.String(),
  cmd: Type.String(),
  stdout: Type.String(),
  stderr: Type.String(),
  duration_ms: Type.Number(),
  encoding: Type.Enum(["utf-8", "base64"], {
    description: "Of stdout and stderr: base64 when either is not valid UTF-8.",
  }),
  truncated: Type.Boolean({
    description: `True when a stream was longer than ${LIMITS.maxExecOutputBytes} bytes and its rest was dropped.`,
  }),
};

export const ExecResponse = Type.Object(
  {
    ...output,
    exit_code: Type.Integer({ description: "0 to 255, or 128 + N when signal N ended it." }),
    signal: Type.Optional(Type.String({ description: "Name of the signal that ended it." })),
    oom: Type.Boolean({ description: "True when the guest's kernel killed it for memory." }),
  },
  { $id: "ExecResult" },
);
export type ExecResponse = Static<typeof ExecResponse>;

/** Body of 504: the error, and what the process printed before it was killed. */
export const ExecTimeoutResponse = Type.Object(
  {
    error: Type.Object({
      code: Type.String(),
      message: Type.String(),
      hint: Type.Optional(Type.String()),
      request_id: Type.String(),
    }),
    partial: Type.Optional(Type.Object(output)),
  },
  { $id: "ExecTimeout" },
);
export type ExecTimeoutResponse = Static<typeof ExecTimeoutResponse>;
