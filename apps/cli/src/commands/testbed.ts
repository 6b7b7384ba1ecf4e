import { WrennError } from "@wrenn/errors";
import { chooseNestedAcceleration } from "@wrenn/virtualization";
import { defineCommand, type CommandContext } from "../define-command.ts";
import { EXIT } from "../exit-code.ts";
import { requireRoot } from "../platform/require-root.ts";
import { parseMebibytes, parseSeconds } from "../terminal/units.ts";
import { ENV_OPTION, resolveEnvs } from "./sandbox-options.ts";

interface TestbedOptions {
  fs?: "xfs" | "ext4";
  disk?: string;
  memory?: number;
  forward?: { host: number; guest: number }[];
  env?: Record<string, string | null>;
  cutPower?: number;
  tty?: boolean;
}

const DEFAULT_MEMORY_MIB = 2_048;
/** Handed on to the command. */
const INHERITED = /^(?:HOME|LANG|LC_.*|TERM|FIRECRACKER_BIN|WRENN_(?:TEST|FAILPOINTS|LOG).*)$/;

export const testbedCommand = defineCommand<TestbedOptions>({
  name: "testbed",
  summary: "Run a command in a virtual machine with KVM and device-mapper",
  description: [
    "Boots a nested test host: a virtual machine with Debian's generic kernel on this machine's own root file system, which it cannot change, and a new disk for /var/lib/wrenn and /tmp. In it, KVM, device-mapper, loop devices, userfaultfd and cgroup v2 work, also where this machine has none of them: without KVM here everything is emulated, and some twenty times slower.",
    "The command runs in the current directory, with standard input, output and error, and its exit code is returned. Then the machine is switched off, and all that was written in it is gone, but for the disk that --disk names. It has no network, except for the ports that --forward names.",
    "testbed/guest/cut-power, run inside, ends the machine like a power failure: exit code 86, and --disk shows what had reached the disk.",
  ],
  arguments: [{ syntax: "<command...>", description: "the program and its arguments", completes: "command" }],
  options: [
    { flags: "--fs <type>", description: "file system of a new disk", choices: ["xfs", "ext4"], default: "xfs" },
    {
      flags: "--disk <file>",
      description: "keep the disk in this file, or go on with the one that is there",
      completes: "file",
    },
    { flags: "-m, --memory <size>", description: "memory of the machine, such as 4G; 2G", parse: parseMebibytes },
    {
      flags: "--forward <host:guest>",
      description: "a TCP port of 127.0.0.1 that leads to a port inside; may be repeated",
      parse: parseForward,
    },
    ENV_OPTION,
    { flags: "--cut-power <time>", description: "cut the power after this time, such as 20", parse: parseSeconds },
    { flags: "-t, --tty", description: "give the command a terminal" },
  ],
  examples: [
    ["wrenn testbed -- dmsetup version", "device-mapper, wherever you are"],
    ["wrenn testbed --tty -- bash", "look around"],
    ["wrenn testbed --disk /tmp/disk -- sh -c 'date > /tmp/x; sync; testbed/guest/cut-power'", "cut the power"],
  ],
  passThrough: true,
  failureExitCode: EXIT.runFailed,
  json: false,
  async run(context, argv, options) {
    requireRoot("run the testbed");
    const { runInTestbed, ensureTestbed } = await import("@wrenn/testbed");
    const { progressFor } = await import("@wrenn/guest");
    const { config, signal } = context;
    const terminal = options.tty === true ? terminalSize() : undefined;
    const image = await ensureTestbed({
      stateDirectory: config.WRENN_TEST_GUEST_DIR,
      progress: progressFor(process.stderr),
      signal,
    });
    using _raw = terminal === undefined ? undefined : rawTerminal();
    const end = await runInTestbed({
      qemu: config.WRENN_QEMU,
      accelerator: await chooseNestedAcceleration(config.WRENN_ACCEL),
      image,
      argv: argv as [string, ...string[]],
      env: { ...inherited(context), ...resolveEnvs(options.env, config.env) },
      directory: process.cwd(),
      memoryMib: options.memory ?? DEFAULT_MEMORY_MIB,
      fileSystem: options.fs ?? "xfs",
      ...(options.disk === undefined ? {} : { scratchPath: options.disk }),
      forwards: options.forward ?? [],
      ...(options.cutPower === undefined ? {} : { cutPowerAfterMs: options.cutPower * 1_000 }),
      ...(terminal === undefined ? {} : { terminal }),
      input: process.stdin,
      output: process.stdout,
      error: process.stderr,
      signal,
    });
    process.stdin.destroy();
    if (end.kind === "exit") return end.code;
    context.output.note("wrenn: the power was cut");
    return EXIT.powerCut;
  },
});

function inherited({ config }: CommandContext): Record<string, string> {
  const path = [`${config.root}/node_modules/.bin`, config.env["PATH"] ?? "/usr/bin:/bin"].join(":");
  const kept = Object.entries(config.env).filter(([name]) => INHERITED.test(name));
  return { ...Object.fromEntries(kept), PATH: path, NODE_COMPILE_CACHE: "/tmp/node-compile-cache" };
}

function terminalSize(): { rows: number; columns: number } {
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new WrennError("invalid_request", "Cannot give the command a terminal: this is not run in one", {
      hint: "Leave out --tty",
    });
  }
  return { rows: process.stdout.rows, columns: process.stdout.columns };
}

function rawTerminal(): Disposable {
  process.stdin.setRawMode(true);
  return { [Symbol.dispose]: () => void process.stdin.setRawMode(false) };
}

function parseForward(text: string, before: unknown): { host: number; guest: number }[] {
  const [, host, guest] = /^(\d{1,5}):(\d{1,5})$/.exec(text) ?? [];
  const ports = [Number(host), Number(guest)];
  if (!ports.every((port) => port >= 1 && port <= 65_535)) {
    throw new WrennError("invalid_request", `Cannot forward ${JSON.stringify(text)}`, { hint: "Write 8080:80" });
  }
  return [...((before as { host: number; guest: number }[] | undefined) ?? []), { host: ports[0]!, guest: ports[1]! }];
}
