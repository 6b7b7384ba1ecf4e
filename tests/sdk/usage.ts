/**
 * What somebody does with the SDK, in whatever runtime: it is compiled in their project (consumer.ts) and
 * run there. Returns what it saw.
 */
import { Wrenn, WrennError, type ExecutionEvent, type Sandbox } from "@wrenn/sdk";

export async function use(wrenn: Wrenn): Promise<Record<string, unknown>> {
  const seen: Record<string, unknown> = {};
  let id: string;
  {
    await using sandbox = await wrenn.sandboxes.create({ metadata: { from: "usage" } });
    id = sandbox.id;
    seen["run"] = (await sandbox.run("python3", ["-c", "print(2**100)"])).stdout;
    seen["exit code"] = (await sandbox.shell("echo problem >&2; exit 3")).exitCode;
    seen["follow"] = await follow(sandbox);
    await sandbox.files.write("note", new Uint8Array([107, 101, 112, 116]));
    seen["text"] = await sandbox.files.readText("note");
    seen["stream"] = (await bytesOf(await sandbox.files.readStream("note"))).join(" ");
    seen["watched"] = await watch(sandbox);
    const listed: string[] = [];
    for await (const one of wrenn.sandboxes.list({ metadata: "from=usage" })) listed.push(one.id);
    seen["listed"] = listed.includes(id);
    seen["abort"] = await thrownBy((signal) => sandbox.run("sleep", ["60"], { signal }));
    seen["abort of a stream"] = await thrownBy(async (signal) => {
      const execution = await sandbox.start("sleep", { args: ["60"], signal });
      await execution.wait();
    });
  }
  seen["after using"] = (await wrenn.sandboxes.get(id)).status;
  for await (const event of wrenn.events({ after: "0", sandboxId: id })) {
    if (event.type !== "sandbox.gone") continue;
    seen["last event"] = event.type;
    break;
  }
  try {
    await wrenn.sandboxes.get("sb00000000000000000000");
  } catch (error) {
    if (error instanceof WrennError)
      seen["error"] = [error.code, error.status, typeof error.hint, typeof error.requestId];
  }
  return seen;
}

async function follow(sandbox: Sandbox): Promise<string> {
  await using execution = await sandbox.start("sh", { args: ["-c", "read name; echo hello $name"], stdin: true });
  await execution.write("you\n");
  const told: string[] = [];
  for await (const event of execution) told.push(wordsOf(event));
  return told.join("; ");
}

function wordsOf(event: ExecutionEvent): string {
  switch (event.type) {
    case "start":
      return typeof event.pid;
    case "exit":
      return `exit ${event.exitCode}`;
    default:
      return `${event.type} ${new TextDecoder().decode(event.data).trim()} ${event.offset}`;
  }
}

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<number[]> {
  return [...new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer())];
}

async function watch(sandbox: Sandbox): Promise<string> {
  await sandbox.files.makeDirectory("watched");
  for await (const change of sandbox.files.watch("watched")) {
    if (change.type === "start") await sandbox.files.write("watched/new", "x");
    else if (change.name === "new") return change.name;
  }
  throw new Error("the watch ended");
}

/** The reason of a signal is what its call throws. */
async function thrownBy(call: (signal: AbortSignal) => Promise<unknown>): Promise<unknown> {
  const stop = new AbortController();
  const ended = call(stop.signal).then(
    () => "it ended by itself",
    (error: unknown) => error,
  );
  setTimeout(() => stop.abort("enough"), 500);
  return await ended;
}
