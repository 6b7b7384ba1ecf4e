/** What the kernel offers: virtualization, TUN, namespaces, control groups, device-mapper. */
import { constants } from "node:fs";
import { access, open, readFile } from "node:fs/promises";
import type { Check } from "./finding.ts";

/**
 * The rule of the host agent: /dev/kvm opens for reading and writing, and the CPU says vmx or svm. A
 * device that opens without the flag belongs to a paravirtual back end on which kernels do not boot.
 */
export const checkKvm: Check = async (config) => {
  const name = "kvm";
  if (config.WRENN_ACCEL !== undefined) {
    return [
      {
        name,
        status: "ok",
        found: `WRENN_ACCEL=${config.WRENN_ACCEL}`,
        consequence: `${config.WRENN_ACCEL} is used, whatever the machine offers`,
      },
    ];
  }
  const flag = /^flags\s*:.*\s(vmx|svm)(?:\s|$)/m.exec(await readFile("/proc/cpuinfo", "utf8"))?.[1];
  const device = await errorOfOpening("/dev/kvm");
  const consequence = "VMs run by emulation (TCG): everything works, computing is several times slower";
  if (flag === undefined) {
    const found = `the CPU has neither vmx nor svm${device === undefined ? " (/dev/kvm opens, which alone proves nothing)" : ""}`;
    return [
      { name, status: "limited", found, consequence, hint: "A machine or VM with (nested) virtualization is faster" },
    ];
  }
  if (device !== undefined) {
    const hint = device === "ENOENT" ? "Load the module: modprobe kvm_intel or kvm_amd" : "Run as root";
    return [{ name, status: "limited", found: `/dev/kvm cannot be opened (${device})`, consequence, hint }];
  }
  return [
    { name, status: "ok", found: `/dev/kvm opens and the CPU has ${flag}`, consequence: "VMs run on the hardware" },
  ];
};

async function errorOfOpening(path: string): Promise<string | undefined> {
  try {
    await (await open(path, constants.O_RDWR)).close();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "error";
  }
}

export const checkTun: Check = async () => {
  const name = "tun";
  const error = await errorOfOpening("/dev/net/tun");
  if (error === undefined) return [{ name, status: "ok", found: "/dev/net/tun opens" }];
  return [
    {
      name,
      status: "missing",
      found: `/dev/net/tun cannot be opened (${error})`,
      consequence: "VMs would have no network",
      hint:
        error === "ENOENT"
          ? "Load the module: modprobe tun; in a container, pass the device in: --device /dev/net/tun"
          : "Run as root; in a container, allow the device: --device /dev/net/tun",
    },
  ];
};

export const checkNamespaces: Check = async () => {
  const missing: string[] = [];
  for (const kind of ["net", "mnt", "pid", "ipc", "uts"])
    await access(`/proc/self/ns/${kind}`).catch(() => missing.push(kind));
  if (missing.length === 0) return [{ name: "namespaces", status: "ok", found: "net, mnt, pid, ipc, uts" }];
  return [
    {
      name: "namespaces",
      status: "missing",
      found: `the kernel has no ${missing.join(", ")} namespaces`,
      consequence: "VMs could not be kept apart",
      hint: "Use a distribution's own kernel",
    },
  ];
};

/** Controllers that the shim sets limits with. */
const CONTROLLERS = ["cpu", "io", "memory", "pids"];

export const checkControlGroups: Check = async () => {
  const mount = / (\/\S+) cgroup2 /.exec(await readFile("/proc/mounts", "utf8"))?.[1];
  const name = "cgroups";
  if (mount === undefined) {
    return [
      {
        name,
        status: "limited",
        found: "no cgroup v2 tree is mounted",
        consequence: "VMs are not limited beyond their own memory and vcpus",
        hint: "Mount it: mount -t cgroup2 none /sys/fs/cgroup",
      },
    ];
  }
  const there = (await readFile(`${mount}/cgroup.controllers`, "utf8").catch(() => "")).trim().split(" ");
  const missing = CONTROLLERS.filter((controller) => !there.includes(controller));
  if (missing.length === 0)
    return [{ name, status: "ok", found: `cgroup v2 at ${mount} with ${CONTROLLERS.join(", ")}` }];
  return [
    {
      name,
      status: "limited",
      found: `cgroup v2 at ${mount}, without ${missing.join(", ")}`,
      consequence: "VMs are grouped, but not limited beyond their own memory and vcpus",
      hint: "These controllers are taken by cgroup v1; boot with systemd.unified_cgroup_hierarchy=1",
    },
  ];
};
