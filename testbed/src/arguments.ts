/** QEMU's command line for the testbed. */
import { join } from "node:path";
import type { TestbedImage } from "./ensure-testbed.ts";
import { TESTBED_GUEST } from "./paths.ts";
import type { ScratchFileSystem } from "./scratch-disk.ts";

/** Descriptors of QEMU at which the command's standard input, output and error, or its terminal, are. */
export const STREAM_FDS = { input: 3, output: 4, error: 5 } as const;

/** QEMU's exit status when guest/cut-power was run: isa-debug-exit gives (42 << 1) | 1. */
export const POWER_CUT_STATUS = 85;

/** Loaded before the command runs; nft and others load theirs by themselves. */
const MODULES = ["virtio_blk", "virtio_net", "loop", "dm-mod", "dm-snapshot", "tun", "veth", "kvm_amd"];

export interface TestbedMachine {
  qemu: string;
  accelerator: "kvm" | "tcg";
  /** Frequency of this machine's TSC, which a guest under TCG cannot measure beside other work. */
  tscKhz: number;
  image: TestbedImage;
  memoryMib: number;
  scratchPath: string;
  scratchFileSystem: ScratchFileSystem;
  exchangeDirectory: string;
  /** TCP ports of the host's loopback that lead to ports inside. */
  forwards: readonly { host: number; guest: number }[];
  /** Rows and columns of the command's terminal; undefined: it has pipes. */
  terminal: { rows: number; columns: number } | undefined;
}

export function qemuArguments(machine: TestbedMachine): [string, ...string[]] {
  const { image, exchangeDirectory, terminal } = machine;
  const kvm = machine.accelerator === "kvm";
  return [
    machine.qemu,
    "-machine",
    "q35",
    "-accel",
    // Multi-threaded TCG corrupts programs that write code at run time, such as Node's.
    kvm ? "kvm" : "tcg,thread=single",
    "-cpu",
    kvm ? "host" : "max",
    "-m",
    `${machine.memoryMib}M`,
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-no-reboot",
    "-kernel",
    join(image.kernelDirectory, "vmlinuz"),
    "-initrd",
    image.initramfsPath,
    "-append",
    kernelArguments(machine).join(" "),
    "-chardev",
    `file,id=console,path=${join(exchangeDirectory, "console.log")}`,
    "-serial",
    "chardev:console",
    "-device",
    "isa-debug-exit,iobase=0xf4,iosize=1",
    "-device",
    "virtio-rng-pci",
    ...fileSystem("root", "/", "readonly=on"),
    ...fileSystem("exchange", exchangeDirectory, ""),
    "-drive",
    `id=scratch,file=${machine.scratchPath},format=raw,if=none,cache=writeback,discard=unmap`,
    "-device",
    "virtio-blk-pci,drive=scratch",
    // Nothing inside reaches the network; only forwarded ports lead in.
    "-netdev",
    ["user,id=net,restrict=on", ...machine.forwards.map(forward)].join(","),
    "-device",
    "virtio-net-pci,netdev=net",
    "-device",
    "virtio-serial-pci",
    ...(terminal === undefined ? pipes() : ["-chardev", socket("input"), "-device", "virtconsole,chardev=input"]),
  ];
}

function kernelArguments({ accelerator, tscKhz, image, scratchFileSystem, terminal }: TestbedMachine): string[] {
  return [
    "console=ttyS0",
    "quiet",
    "panic=-1",
    "reboot=t",
    "mitigations=off",
    "cryptomgr.notests",
    ...(accelerator === "tcg" ? ["tsc=reliable", `tsc_early_khz=${tscKhz}`, "no_timer_check"] : []),
    `wrenn_guest=${TESTBED_GUEST}`,
    `wrenn_kernel=${image.kernelDirectory}`,
    `wrenn_modules=${[...MODULES, ...(accelerator === "kvm" ? ["kvm_intel"] : []), scratchFileSystem].join(",")}`,
    `wrenn_scratch=${scratchFileSystem}`,
    `wrenn_terminal=${terminal === undefined ? "" : `${terminal.rows}x${terminal.columns}`}`,
  ];
}

function fileSystem(tag: string, path: string, options: string): string[] {
  const backend = ["local", `id=${tag}`, `path=${path}`, "security_model=none", "multidevs=remap", options];
  return ["-fsdev", backend.filter(Boolean).join(","), "-device", `virtio-9p-pci,fsdev=${tag},mount_tag=${tag}`];
}

const socket = (stream: keyof typeof STREAM_FDS): string => `socket,id=${stream},fd=${STREAM_FDS[stream]}`;

function pipes(): string[] {
  return (["input", "output", "error"] as const).flatMap((stream, index) => [
    "-chardev",
    socket(stream),
    "-device",
    `virtserialport,chardev=${stream},nr=${index + 1}`,
  ]);
}

const forward = ({ host, guest }: { host: number; guest: number }): string => `hostfwd=tcp:127.0.0.1:${host}-:${guest}`;
