/** Runs one command in a guest to its end, for the host agent's own purposes. */
import type { GuestAgent } from "./guest-agent.ts";
import { errorOfCall } from "./guest-errors.ts";

/** The last bytes of output that are kept for a message. */
const OUTPUT_BYTES = 1000;

export async function runInGuest(
  guest: GuestAgent,
  argv: readonly [string, ...string[]],
  user: string,
  signal: AbortSignal,
): Promise<{ exitCode: number; output: string }> {
  const [cmd, ...args] = argv;
  let output = "";
  try {
    const events = guest.processes.start(
      { process: { cmd, args }, stdin: false },
      { signal, headers: basicUser(user) },
    );
    for await (const { event } of events) {
      if (event?.event.case === "data")
        output = (output + Buffer.from(event.event.value.output.value ?? []).toString()).slice(-OUTPUT_BYTES);
      if (event?.event.case === "end") return { exitCode: event.event.value.exitCode, output };
    }
  } catch (error) {
    throw errorOfCall(error);
  }
  return { exitCode: -1, output };
}

/** The header that names the user of a call; a user without a password. */
export function basicUser(user: string): Record<string, string> {
  return user === "" ? {} : { authorization: `Basic ${Buffer.from(`${user}:`).toString("base64")}` };
}
