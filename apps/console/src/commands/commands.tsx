import { useEffect, useRef, type FormEvent } from "react";
import { WrennError, type Execution, type ExitEvent, type Wrenn } from "@wrenn/sdk";
import { textOf } from "../form.ts";
import { Problem } from "../problem.tsx";
import { useAction } from "../use-action.ts";
import { useKept } from "../use-kept.ts";
import "./commands.css";

/** Pieces of output that are kept; older ones go. */
const KEPT_PIECES = 2_000;

interface Kept {
  line: string;
  output: { kind: "stdout" | "stderr"; text: string }[];
  offsets: { stdout: number; stderr: number };
  /** While it runs. */
  pid?: number;
  exit?: Pick<ExitEvent, "exitCode" | "signal">;
}

const FIRST: Kept = {
  line: "uname -a; for i in 1 2 3; do echo $i; sleep 0.5; done",
  output: [],
  offsets: { stdout: 0, stderr: 0 },
};

/** A line of shell, and what it prints while it prints it; a reload of the page goes on with it. */
export function Commands({ client, id }: { client: Wrenn; id: string }) {
  const { run, busy, error } = useAction();
  const [kept, setKept] = useKept<Kept>(`commands.${id}`, FIRST);
  const execution = useRef<Execution>(undefined);
  const stop = useRef<AbortController>(undefined);

  const follow = async (started: Execution): Promise<void> => {
    execution.current = started;
    const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
    for await (const event of started) {
      if (event.type === "start") setKept((before) => ({ ...before, pid: event.pid }));
      if (event.type === "stdout" || event.type === "stderr") {
        const { type: kind, offset } = event;
        const text = decoders[kind].decode(event.data, { stream: true });
        setKept((before) => ({
          ...before,
          output: [...before.output.slice(-KEPT_PIECES), { kind, text }],
          offsets: { ...before.offsets, [kind]: offset },
        }));
      }
      if (event.type === "exit") {
        const { exitCode, signal } = event;
        setKept(({ pid: _ended, ...before }) => ({ ...before, exit: { exitCode, signal } }));
      }
    }
  };

  useEffect(() => {
    const controller = new AbortController();
    stop.current = controller;
    const { pid, offsets } = kept;
    if (pid !== undefined) {
      void run(async () => {
        try {
          const sandbox = await client.sandboxes.get(id, { signal: controller.signal });
          await follow(await sandbox.attach(pid, { offsets, signal: controller.signal }));
        } catch (thrown) {
          if (controller.signal.aborted) return;
          setKept(({ pid: _gone, ...before }) => before);
          if (!(thrown instanceof WrennError && thrown.code === "not_found")) throw thrown;
        }
      });
    }
    return () => controller.abort();
  }, [client, id]);

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const line = textOf(new FormData(event.currentTarget), "line");
    setKept({ ...FIRST, line });
    const signal = stop.current?.signal;
    void run(async () => {
      try {
        await follow(await client.execute(id, "sh", { args: ["-c", line], onDisconnect: "keep", signal }));
      } catch (thrown) {
        if (signal?.aborted !== true) throw thrown;
      }
    });
  };

  return (
    <div>
      <form className="row" onSubmit={submit} aria-label="Run a command">
        <label className="grow">
          Line of shell
          <input name="line" required defaultValue={kept.line} autoCapitalize="off" spellCheck={false} />
        </label>
        <button className="primary" disabled={busy}>
          {busy ? "Running…" : "Run"}
        </button>
        <button type="button" disabled={!busy} onClick={() => void execution.current?.stop()}>
          Stop
        </button>
      </form>
      <Problem error={error} />
      <pre className="output" role="log" aria-label="Output" tabIndex={0}>
        {kept.output.length === 0 && <span className="nothing">What it prints appears here, as it prints it.</span>}
        {kept.output.map(({ kind, text }, index) => (
          <span key={index} className={kind}>
            {text}
          </span>
        ))}
      </pre>
      {kept.exit !== undefined && (
        <p role="status" className={kept.exit.exitCode === 0 ? "ended" : "ended failed"}>
          Ended with {kept.exit.exitCode}
          {kept.exit.signal !== undefined && ` (${kept.exit.signal})`}
        </p>
      )}
    </div>
  );
}
