/** The testbed for tests: one command in it, with what it printed. */
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { progressFor } from "@wrenn/guest";
import { chooseNestedAcceleration } from "@wrenn/virtualization";
import { ensureTestbed } from "../ensure-testbed.ts";
import { CHECKOUT } from "../paths.ts";
import { runInTestbed, type TestbedEnd, type TestbedOptions } from "../run-in-testbed.ts";

const SHARED_DIRECTORY = process.env["WRENN_TEST_GUEST_DIR"] ?? "/var/lib/wrenn-test";

export async function bootAndRun(
  argv: readonly [string, ...string[]],
  options: Partial<TestbedOptions> & { inputText?: string } = {},
): Promise<{ end: TestbedEnd; stdout: string; stderr: string }> {
  const { inputText = "", ...rest } = options;
  const signal = AbortSignal.timeout(240_000);
  const image = await ensureTestbed({
    stateDirectory: SHARED_DIRECTORY,
    progress: progressFor(process.stderr),
    signal,
  });
  const [output, error] = [new PassThrough(), new PassThrough()];
  const [stdout, stderr] = [text(output), text(error)];
  try {
    const end = await runInTestbed({
      qemu: "qemu-system-x86_64",
      accelerator: await chooseNestedAcceleration(),
      image,
      argv,
      env: { PATH: process.env["PATH"] ?? "" },
      directory: CHECKOUT,
      memoryMib: 1024,
      fileSystem: "xfs",
      input: Readable.from([Buffer.from(inputText)]),
      output,
      error,
      signal,
      ...rest,
    });
    output.end();
    error.end();
    return { end, stdout: await stdout, stderr: await stderr };
  } finally {
    output.destroy();
    error.destroy();
    await Promise.allSettled([stdout, stderr]);
  }
}
