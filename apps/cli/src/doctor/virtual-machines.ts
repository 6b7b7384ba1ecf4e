/** Which VMM and which disks the host agent chooses, and why: docs/reference/firecracker.md. */
import { chooseVirtualization, defectsOf, type Machine } from "@wrenn/virtualization";
import type { Check, Finding } from "./finding.ts";

export const checkVirtualMachines: Check = async (config, signal) => {
  const { vmm, disks, refusal, machine } = await chooseVirtualization(
    {
      stateDirectory: config.stateDirectory,
      vmm: config.WRENN_VMM,
      disks: config.WRENN_DISKS,
      accelerator: config.WRENN_ACCEL,
      firecracker: config.WRENN_FIRECRACKER,
      jailer: config.WRENN_JAILER,
      searchPath: config.env["PATH"] ?? "",
    },
    signal,
  );
  const { deviceMapperLack } = machine;
  const kind = vmm.kind === "firecracker" ? "Firecracker" : "QEMU";
  const chosen = { name: "vms", found: `${kind} on ${disks.kind}`, consequence: `${vmm.why}; ${disks.why}` } as const;
  return [
    describeFirecracker(machine),
    { name: "device-mapper", status: "ok", found: deviceMapperLack ?? "in the kernel, with snapshots" },
    refusal === undefined
      ? { ...chosen, status: "ok", ...unproven(vmm.kind) }
      : {
          name: "vms",
          status: "missing",
          found: refusal.message,
          ...(refusal.hint === undefined ? {} : { hint: refusal.hint }),
        },
  ];
};

function describeFirecracker({ firecracker: { program, version, lack, jailer } }: Machine): Finding {
  const name = "firecracker";
  if (program === undefined || version === undefined)
    return { name, status: "ok", found: "not installed, and unproven on this machine" };
  const defects = defectsOf(version).map(({ issue, answer }) => `${issue} (${answer})`);
  const known = defects.length === 0 ? "" : `Known defects: ${defects.join(", ")}`;
  return {
    name,
    status: jailer?.lack === undefined ? "ok" : "limited",
    found: `${program}, ${version}, ${describeJailer(jailer)}`,
    consequence: lack === undefined ? known : `Not used: ${lack}`,
  };
}

function describeJailer(jailer: Machine["firecracker"]["jailer"]): string {
  if (jailer === undefined) return "without a jailer";
  const { program, lack } = jailer;
  return lack === undefined ? `with the jailer ${program}` : `refused with the jailer ${program}: ${lack}`;
}

const unproven = (kind: "qemu" | "firecracker"): Pick<Finding, "hint"> =>
  kind === "qemu"
    ? {}
    : { hint: "Try it on this machine first: FIRECRACKER_BIN=$(command -v firecracker) ./wrenn test --only nested" };
