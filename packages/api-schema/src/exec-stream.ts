/**
 * Frames of `GET /v1/sandboxes/{id}/exec/stream`, one JSON object per WebSocket text message.
 */
import { Type, type Static } from "typebox";
import { ErrorFrame } from "./error.ts";
import { DataEncoding, ProcessProperties } from "./exec.ts";
import { LIMITS } from "./limits.ts";

/** Signals that a client may send, with their Linux numbers. */
export const SIGNALS = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
} as const;
export type SignalName = keyof typeof SIGNALS;

/** The name of a signal's number; `SIGNAL<n>` for one without a name. */
export function signalName(number: number): string {
  return Object.entries(SIGNALS).find(([, value]) => value === number)?.[0] ?? `SIGNAL${number}`;
}

const TerminalSize = {
  cols: Type.Integer({ minimum: 1, maximum: 4_096 }),
  rows: Type.Integer({ minimum: 1, maximum: 4_096 }),
};

/** First frame of a client: starts the process. */
export const StartFrame = Type.Object(
  {
    type: Type.Literal("start"),
    ...ProcessProperties,
    stdin: Type.Boolean({
      default: false,
      description: "False: standard input is /dev/null. A terminal always has one.",
    }),
    timeout_ms: Type.Integer({
      minimum: 0,
      maximum: LIMITS.maxExecTimeoutSec * 1_000,
      default: 0,
      description: "Kills the process after this time; 0 means never.",
    }),
    pty: Type.Optional(
      Type.Object(TerminalSize, {
        additionalProperties: false,
        description: "Run in a terminal of this size.",
      }),
    ),
    encoding: Type.Enum(["utf-8", "base64"], {
      default: "utf-8",
      description: "Of the output frames. utf-8 replaces what is not UTF-8.",
    }),
    on_disconnect: Type.Enum(["kill", "keep"], { default: "kill" }),
  },
  { additionalProperties: false },
);
export type StartFrame = Static<typeof StartFrame>;

const Offset = (kind: string) =>
  Type.Optional(
    Type.Integer({
      minimum: 0,
      description: `The last \`offset\` that came with ${kind}; the output that was missed since is sent first.`,
    }),
  );

/** First frame of a client that goes on with a process that runs already. */
export const ConnectFrame = Type.Object(
  {
    type: Type.Literal("connect"),
    pid: Type.Integer({ minimum: 1, maximum: 4_194_304 }),
    offsets: Type.Optional(
      Type.Object(
        { stdout: Offset("stdout"), stderr: Offset("stderr"), pty: Offset("pty") },
        { additionalProperties: false, description: "Where to go on, per kind of output; from now on unless told." },
      ),
    ),
    pty: Type.Boolean({ default: false, description: "True: the process has a terminal, and input goes there." }),
    encoding: StartFrame.properties.encoding,
    on_disconnect: Type.Enum(["kill", "keep"], { default: "keep" }),
  },
  { additionalProperties: false },
);
export type ConnectFrame = Static<typeof ConnectFrame>;

/** Later frames of a client, by their `type`. */
export const CONTROL_FRAMES = {
  stdin: Type.Object(
    { type: Type.Literal("stdin"), data: Type.String({ description: "Base64." }) },
    { additionalProperties: false },
  ),
  close_stdin: Type.Object({ type: Type.Literal("close_stdin") }, { additionalProperties: false }),
  signal: Type.Object(
    { type: Type.Literal("signal"), signal: Type.Enum(Object.keys(SIGNALS) as SignalName[]) },
    { additionalProperties: false },
  ),
  resize: Type.Object({ type: Type.Literal("resize"), ...TerminalSize }, { additionalProperties: false }),
  stop: Type.Object({ type: Type.Literal("stop") }, { additionalProperties: false }),
};
export type ControlFrame = {
  [K in keyof typeof CONTROL_FRAMES]: Static<(typeof CONTROL_FRAMES)[K]>;
}[keyof typeof CONTROL_FRAMES];

/** What a client may send first: defaults may be left out. */
export type StartFrameInput = Pick<StartFrame, "type" | "cmd"> & Partial<StartFrame>;
export type ConnectFrameInput = Pick<ConnectFrame, "type" | "pid"> & Partial<ConnectFrame>;
/** Any frame of a client. */
export type ClientFrame = StartFrameInput | ConnectFrameInput | ControlFrame;

/** Any frame of the server; the last one is `exit` or `error`. */
export const ServerFrame = Type.Union([
  Type.Object({ type: Type.Literal("start"), pid: Type.Integer() }),
  Type.Object({
    type: Type.Enum(["stdout", "stderr", "pty"]),
    data: Type.String(),
    encoding: DataEncoding,
    offset: Type.Integer({ description: "Bytes of this kind up to the end of `data`, counted from the start." }),
  }),
  Type.Object({
    type: Type.Literal("exit"),
    exit_code: Type.Integer({ description: "0 to 255, or 128 + N when signal N ended it." }),
    signal: Type.Optional(Type.String()),
    status: Type.String({ description: "The guest's own words, such as `exit status 1`." }),
    oom: Type.Boolean(),
  }),
  ErrorFrame,
]);
export type ServerFrame = Static<typeof ServerFrame>;
