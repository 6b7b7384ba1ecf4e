/** Processes of a sandbox: hostagent.v1 on one side, the guest agent on the other. */
import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { WrennError } from "@wrenn/errors";
import { envdProcess, hostagent } from "@wrenn/protocol";
import { errorOfCall } from "../envd/guest-errors.ts";
import { basicUser } from "../envd/run-in-guest.ts";
import type { GuestAgent } from "../envd/guest-agent.ts";
import type { SandboxManager } from "../sandbox/manager.ts";
import { connectErrorOf } from "./errors.ts";
import { checkedId, incarnationOf } from "./messages.ts";

type ProcessMethods =
  | "startProcess"
  | "connectProcess"
  | "listProcesses"
  | "sendProcessInput"
  | "closeProcessInput"
  | "signalProcess"
  | "resizeProcess";

export function processService(
  manager: SandboxManager,
): Pick<ServiceImpl<typeof hostagent.HostAgentService>, ProcessMethods> {
  /** One call to the guest agent, counted as activity. */
  async function call<T>(
    ref: { sandboxId: string; incarnation: bigint } | undefined,
    work: (guest: GuestAgent) => Promise<T>,
  ): Promise<T> {
    try {
      if (ref === undefined) throw new WrennError("invalid_request", "Cannot find the process: none was named");
      using lease = manager.use(checkedId(ref.sandboxId), incarnationOf(ref.incarnation));
      return await work(lease.agent);
    } catch (error) {
      throw connectErrorOf(errorOfCall(error));
    }
  }

  async function* follow(
    ref: { sandboxId: string; incarnation: bigint },
    open: (guest: GuestAgent) => AsyncIterable<{ event?: envdProcess.ProcessEvent | undefined }>,
  ): AsyncGenerator<{ event: hostagent.ProcessEvent }> {
    try {
      using lease = manager.use(checkedId(ref.sandboxId), incarnationOf(ref.incarnation));
      for await (const { event } of open(lease.agent)) {
        const message = event === undefined ? undefined : eventMessage(event);
        if (message !== undefined) yield { event: message };
      }
    } catch (error) {
      throw connectErrorOf(errorOfCall(error));
    }
  }

  return {
    async *startProcess(request, context: HandlerContext) {
      const { pty, timeoutMs } = request;
      yield* follow(request, (guest) =>
        guest.processes.start(
          {
            process: {
              cmd: request.cmd,
              args: request.args,
              envs: request.envs,
              ...(request.cwd === "" ? {} : { cwd: request.cwd }),
            },
            stdin: request.stdin,
            ...(pty === undefined ? {} : { pty: { size: { cols: pty.cols, rows: pty.rows } } }),
          },
          { signal: context.signal, headers: basicUser(request.user), ...(timeoutMs === 0 ? {} : { timeoutMs }) },
        ),
      );
    },

    async *connectProcess({ process, stdoutOffset, stderrOffset, ptyOffset }, context: HandlerContext) {
      if (process === undefined)
        throw connectErrorOf(new WrennError("invalid_request", "Cannot follow a process: none was named"));
      yield* follow(process, (guest) =>
        guest.processes.connect(
          {
            process: selector(process),
            ...(stdoutOffset === undefined ? {} : { stdoutOffset }),
            ...(stderrOffset === undefined ? {} : { stderrOffset }),
            ...(ptyOffset === undefined ? {} : { ptyOffset }),
          },
          { signal: context.signal },
        ),
      );
    },

    async listProcesses(request) {
      const { processes } = await call(request, (guest) => guest.processes.list({}));
      return {
        processes: processes.map(({ pid, config }) => ({
          pid,
          cmd: config?.cmd ?? "",
          args: config?.args ?? [],
          cwd: config?.cwd ?? "",
        })),
      };
    },

    async sendProcessInput({ process, input }) {
      if (input.case === undefined)
        throw connectErrorOf(new WrennError("invalid_request", "Cannot write to a process: no input was given"));
      await call(process, (guest) => guest.processes.sendInput({ process: selector(process), input: { input } }));
      return {};
    },

    async closeProcessInput({ process }) {
      await call(process, (guest) => guest.processes.closeStdin({ process: selector(process) }));
      return {};
    },

    async signalProcess({ process, signal }) {
      await call(process, (guest) =>
        guest.processes.sendSignal({ process: selector(process), signal: knownSignal(signal) }),
      );
      return {};
    },

    async resizeProcess({ process, size }) {
      await call(process, (guest) =>
        guest.processes.update({
          process: selector(process),
          pty: { size: { cols: size?.cols ?? 0, rows: size?.rows ?? 0 } },
        }),
      );
      return {};
    },
  };
}

function selector(ref: hostagent.ProcessRef | undefined): { selector: { case: "pid"; value: number } } {
  return { selector: { case: "pid", value: ref?.pid ?? 0 } };
}

function knownSignal(signal: number): envdProcess.Signal {
  if (signal === 0 || envdProcess.Signal[signal] === undefined) {
    throw new WrennError("unsupported", `Cannot send signal ${signal}: the guest agent does not know it`);
  }
  return signal;
}

function eventMessage({ event }: envdProcess.ProcessEvent): hostagent.ProcessEvent | undefined {
  const make = (value: hostagent.ProcessEvent["event"], offset = 0n): hostagent.ProcessEvent =>
    create(hostagent.ProcessEventSchema, { event: value, offset });
  switch (event.case) {
    case "start":
      return make({ case: "started", value: create(hostagent.ProcessEvent_StartedSchema, { pid: event.value.pid }) });
    case "data": {
      const { output, offset } = event.value;
      return output.case === undefined ? undefined : make({ case: output.case, value: output.value }, offset);
    }
    case "end": {
      const { exitCode, status, oom, exited } = event.value;
      const signal = exited ? 0 : signalNumber(status);
      return make({
        case: "ended",
        value: create(hostagent.ProcessEvent_EndedSchema, { exitCode, status, oom, signal }),
      });
    }
    case "keepalive":
      return make({ case: "keepalive", value: create(hostagent.ProcessEvent_KeepAliveSchema) });
    case undefined:
      return undefined;
  }
}

/** The number behind "signal: killed": strsignal(3)'s words, in lower case. */
const SIGNAL_OF_WORDS: Record<string, number> = {
  hangup: 1,
  interrupt: 2,
  quit: 3,
  "illegal instruction": 4,
  "trace/breakpoint trap": 5,
  aborted: 6,
  "bus error": 7,
  "floating point exception": 8,
  killed: 9,
  "user defined signal 1": 10,
  "segmentation fault": 11,
  "user defined signal 2": 12,
  "broken pipe": 13,
  "alarm clock": 14,
  terminated: 15,
};

function signalNumber(status: string): number {
  const words = status.replace(/^signal: /, "").replace(/ \(core dumped\)$/, "");
  return SIGNAL_OF_WORDS[words] ?? Number(/^signal (\d+)$/.exec(words)?.[1] ?? 0);
}
