/** What the kernel offers: virtualization, TUN, namespaces, control groups, device-mapper. */
import { access, readFile } from "node:fs/promises";
import { chooseAcceleration, errorOfOpening } from "@wrenn/virtualization";
import type { Check } from "./finding.ts";

/** The rule of the host agent. */
export const checkKvm: Check = async (config) => {
  const name = "kvm";
  const { accelerator, reason: found, hint } = await chooseAcceleration(config.WRENN_ACCEL);
  if (config.WRENN_ACCEL !== undefined)
    return [{ name, status: "ok", found, consequence: `${accelerator} is used, whatever the machine offers` }];
  if (accelerator === "kvm") return [{ name, status: "ok", found, consequence: "VMs run on the hardware" }];
  const consequence = "VMs run by emulation (TCG): everything works, computing is several times slower";
  return [{ name, status: "limited", found, consequence, ...(hint === undefined ? {} : { hint }) }];
};

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
