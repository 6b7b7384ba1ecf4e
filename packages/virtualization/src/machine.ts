/** What this machine has of what running VMs can use. */
import { access, readFile } from "node:fs/promises";
import { findProgram, run } from "@wrenn/effects";
import { chooseAcceleration, type Acceleration, type Accelerator } from "./acceleration.ts";
import { firecrackerVersionOf, isSupported, OLDEST_SUPPORTED } from "./firecracker-versions.ts";
import { findJailer, type JailerFound } from "./jailer.ts";

const COMMAND_TIMEOUT_MS = 10_000;

export interface Machine {
  acceleration: Acceleration;
  firecracker: FirecrackerFound;
  /** Why disks cannot be kept with device-mapper; undefined when they can. */
  deviceMapperLack: string | undefined;
}

export interface FirecrackerFound {
  /** Undefined when it is not installed. */
  program: string | undefined;
  /** `x.y.z`, or `unknown`. */
  version: string | undefined;
  /** Why it cannot run here, disks aside; undefined when it can. */
  lack: string | undefined;
  /** Undefined when there is none. */
  jailer: JailerFound | undefined;
}

export interface MachineQuestion {
  /** The operator's word. */
  accelerator: Accelerator | undefined;
  /** Name or path. */
  firecracker: string;
  /** Name or path; undefined: the one beside Firecracker. */
  jailer: string | undefined;
  /** Directories as in PATH. */
  searchPath: string;
}

export async function examineMachine(question: MachineQuestion, signal: AbortSignal): Promise<Machine> {
  const acceleration = await chooseAcceleration(question.accelerator);
  const [firecracker, deviceMapperLack] = await Promise.all([
    findFirecracker(question, acceleration, signal),
    whatDeviceMapperLacks(question.searchPath, signal),
  ]);
  return { acceleration, firecracker, deviceMapperLack };
}

async function findFirecracker(
  { firecracker, jailer, searchPath }: MachineQuestion,
  { accelerator, reason }: Acceleration,
  signal: AbortSignal,
): Promise<FirecrackerFound> {
  const program = await findProgram(firecracker, searchPath);
  if (program === undefined)
    return { program, version: undefined, lack: `${firecracker} is not installed`, jailer: undefined };
  const version = await firecrackerVersionOf(program, signal).catch(() => "unknown");
  signal.throwIfAborted();
  const found = { program, version, jailer: await findJailer(jailer, { program, version }, searchPath, signal) };
  if (!isSupported(version))
    return { ...found, lack: `its version ${version} is not supported: ${OLDEST_SUPPORTED} or newer is needed` };
  if (accelerator !== "kvm") return { ...found, lack: `it needs KVM: ${reason}` };
  const hasUserfaultfd = await access("/dev/userfaultfd").then(
    () => true,
    () => false,
  );
  return { ...found, lack: hasUserfaultfd ? undefined : "it needs /dev/userfaultfd: Linux 6.1 or newer" };
}

async function whatDeviceMapperLacks(searchPath: string, signal: AbortSignal): Promise<string | undefined> {
  const misc = await readFile("/proc/misc", "utf8").catch(() => "");
  if (!/\bdevice-mapper$/m.test(misc)) return "the kernel has no device-mapper";
  const dmsetup = await findProgram("dmsetup", searchPath);
  if (dmsetup === undefined) return "dmsetup is not installed";
  try {
    const { stdout } = await run([dmsetup, "targets"], { signal, timeoutMs: COMMAND_TIMEOUT_MS });
    return /^snapshot\s/m.test(stdout) ? undefined : "dm-snapshot is not loaded (modprobe dm_snapshot)";
  } catch (error) {
    signal.throwIfAborted();
    return `dmsetup says: ${String(error)}`;
  }
}
