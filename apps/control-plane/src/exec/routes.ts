/** POST /v1/sandboxes/{id}/exec: runs a process to its end and answers with all that it printed. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { FastifyReply } from "fastify";
import { ExecRequest, ExecResponse, ExecTimeoutResponse, LIMITS, SandboxParams, signalName } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { logError } from "../http/errors.ts";
import { whenGone } from "../http/gone.ts";
import { findSandbox, requireRunning } from "../sandboxes/find.ts";
import { checkEnvs } from "../sandboxes/limits.ts";
import type { Services } from "../services.ts";
import { GuestProcess, shownExitCode, type ProcessEvent } from "./guest-process.ts";
import { encodeOutput, OutputBuffer } from "./output.ts";

/** The agent kills the process at its timeout; this much later the control plane does it itself. */
const TIMEOUT_MARGIN_MS = 2_000;
/** Base64 of the longest standard input, its envelope, and the arguments. */
const BODY_LIMIT = Math.ceil(LIMITS.maxStdinBytes / 3) * 4 + 4 * 1_024 * 1_024;
const SIGKILL = 9;

export const execRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  app.post(
    "/sandboxes/:id/exec",
    {
      bodyLimit: BODY_LIMIT,
      schema: { params: SandboxParams, body: ExecRequest, response: { 200: ExecResponse, 504: ExecTimeoutResponse } },
    },
    async (request, reply) => {
      const { body } = request;
      checkEnvs(body.envs);
      const stdin = stdinOf(body);
      const row = await findSandbox(services.sandboxes, request);
      requireRunning("run a command in", row);
      const timeoutMs = (body.timeout_sec === 0 ? LIMITS.defaultExecTimeoutSec : body.timeout_sec) * 1_000;
      const started = performance.now();
      const child = await GuestProcess.start(
        services.agent,
        row,
        { ...body, stdin: stdin !== undefined, timeoutMs },
        request.id,
      );
      const run = await follow(child, { stdin, reply, deadlineAt: started + timeoutMs });
      const output = {
        sandbox_id: row.id,
        cmd: body.cmd,
        ...encodeOutput(run.stdout.bytes(), run.stderr.bytes()),
        duration_ms: Math.round(performance.now() - started),
        truncated: run.stdout.truncated || run.stderr.truncated,
      };
      if (run.end === undefined) {
        const error = new WrennError(
          "timeout",
          `Cannot finish ${body.cmd}: it did not end within ${timeoutMs / 1_000} s and was killed`,
          {
            hint: "Give a longer timeout_sec, or follow it over exec/stream",
          },
        );
        logError(error, request);
        const { error: inner } = error.toBody(request.id);
        return reply.code(504).send({ error: { ...inner, request_id: request.id }, partial: output });
      }
      const { signal, oom } = run.end;
      return reply.code(200).send({
        ...output,
        exit_code: shownExitCode(run.end),
        ...(signal === 0 ? {} : { signal: signalName(signal) }),
        oom,
      });
    },
  );
};

type Ended = Extract<ProcessEvent, { type: "ended" }>;

interface Run {
  stdout: OutputBuffer;
  stderr: OutputBuffer;
  /** Undefined when it was killed for its time. */
  end: Ended | undefined;
}

/** Reads everything to the end, the timeout, or the caller's leaving; in the last two cases kills the process. */
async function follow(
  child: GuestProcess,
  options: { stdin: Buffer | undefined; reply: FastifyReply; deadlineAt: number },
): Promise<Run> {
  const run: Run = {
    stdout: new OutputBuffer(LIMITS.maxExecOutputBytes),
    stderr: new OutputBuffer(LIMITS.maxExecOutputBytes),
    end: undefined,
  };
  const { deadlineAt } = options;
  let timedOut = false;
  let left = false;
  const giveUp = () => void child.kill().catch(() => child.detach());
  const timer = setTimeout(
    () => {
      timedOut = true;
      giveUp();
    },
    deadlineAt - performance.now() + TIMEOUT_MARGIN_MS,
  );
  const stay = whenGone(options.reply, () => {
    left = true;
    giveUp();
  });
  try {
    // beside the reading: a process may print before it has read all
    const feeding = feed(child, options.stdin);
    for await (const event of child.events()) {
      if (event.type === "ended") run.end = event;
      else (event.type === "stderr" ? run.stderr : run.stdout).push(event.data);
    }
    child.detach();
    await feeding;
  } catch (error) {
    const { code } = WrennError.from(error);
    // `timeout` is the agent's own word for it; the rest is what a stream that we ended may end with
    if (code !== "timeout" && !(timedOut && code === "canceled")) {
      giveUp();
      throw error;
    }
    run.end = undefined;
  } finally {
    clearTimeout(timer);
    stay();
  }
  if (left) throw new WrennError("canceled", "Cannot answer: the caller went away");
  if (run.end?.signal === SIGKILL && performance.now() >= deadlineAt) run.end = undefined;
  return run;
}

async function feed(child: GuestProcess, stdin: Buffer | undefined): Promise<void> {
  if (stdin === undefined) return;
  try {
    for (let at = 0; at < stdin.length; at += STDIN_CHUNK_BYTES)
      await child.write(stdin.subarray(at, at + STDIN_CHUNK_BYTES), false);
    await child.closeInput();
  } catch {
    // a process may end, or close its input, without reading all of it
  }
}

const STDIN_CHUNK_BYTES = 65_536;

function stdinOf({ stdin, stdin_encoding }: ExecRequest): Buffer | undefined {
  if (stdin === undefined) return undefined;
  if (stdin_encoding === "base64" && !/^[A-Za-z0-9+/]*={0,2}$/.test(stdin)) {
    throw new WrennError("invalid_request", "Cannot use stdin: it is not base64", {
      hint: "Encode it, or leave stdin_encoding out",
    });
  }
  const bytes = Buffer.from(stdin, stdin_encoding);
  if (bytes.length <= LIMITS.maxStdinBytes) return bytes;
  throw new WrennError(
    "too_large",
    `Cannot use stdin: it has ${bytes.length} bytes, more than ${LIMITS.maxStdinBytes}`,
    {
      hint: "Write it to a file first, or send it over exec/stream",
    },
  );
}
