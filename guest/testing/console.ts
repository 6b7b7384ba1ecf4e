/** Boots a template in plain QEMU, without KVM and without a network, and reads its serial console. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { GuestManifest } from "../build/manifest.ts";
import { SHIM_PATH } from "./test-guest.ts";

export interface BootedGuest {
  /** Console lines so far. */
  lines: string[];
  /** Waits for a line; fails when the VM ends without one. */
  line(pattern: RegExp): Promise<string>;
  /** Waits until the VM has ended by itself. */
  ended(): Promise<void>;
  /** Ends the VM and removes its disk. */
  stop(): Promise<void>;
}

export async function bootOnConsole(
  manifest: GuestManifest,
  templateName: string,
  extraArguments: string[] = [],
): Promise<BootedGuest> {
  const template = manifest.templates.find((candidate) => candidate.name === templateName);
  if (template === undefined) throw new Error(`no template ${templateName}`);
  const directory = await mkdtemp(join(tmpdir(), "wrenn-guest-boot-"));
  const disk = join(directory, "disk.qcow2");
  execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", template.rootfsPath, disk]);
  const tscKhz = execFileSync(SHIM_PATH, ["tsc-khz"], { encoding: "utf8" }).trim();
  const append = [
    ...manifest.kernelArguments,
    "console=ttyS0",
    "no_timer_check",
    `tsc_early_khz=${tscKhz}`,
    ...extraArguments,
  ];
  const options: Record<string, string> = {
    "-M": "microvm,rtc=on,acpi=on",
    "-accel": "tcg,thread=single",
    "-cpu": "max",
    "-m": String(template.memoryMib),
    "-serial": "stdio",
    "-drive": `id=d,file=${disk},format=qcow2,if=none`,
    "-netdev": "hubport,hubid=0,id=n", // a cable to nowhere
    "-kernel": manifest.kernelPath,
    "-initrd": manifest.initramfsPath,
    "-append": append.join(" "),
  };
  const devices = ["-device", "virtio-blk-device,drive=d", "-device", "virtio-net-device,netdev=n"];
  const child = spawn(
    "qemu-system-x86_64",
    [...Object.entries(options).flat(), ...devices, "-nodefaults", "-no-user-config", "-nographic", "-no-reboot"],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  const exited = once(child, "exit");
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const wake = () => waiting.forEach((check) => check());
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => {
    lines.push(line.trimEnd());
    wake();
  });
  let closed = false;
  reader.once("close", () => {
    closed = true;
    wake();
  });

  return {
    lines,
    line: (pattern) =>
      new Promise((resolve, reject) => {
        const check = () => {
          const found = lines.find((line) => pattern.test(line));
          if (found === undefined && !closed) return;
          waiting.delete(check);
          if (found === undefined)
            reject(new Error(`the VM ended without ${pattern}:\n${lines.slice(-30).join("\n")}`));
          else resolve(found);
        };
        waiting.add(check);
        check();
      }),
    async ended() {
      await exited;
    },
    async stop() {
      child.kill("SIGKILL");
      await exited;
      await rm(directory, { recursive: true });
    },
  };
}
