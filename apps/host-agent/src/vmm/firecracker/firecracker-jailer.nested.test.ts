/** Firecracker that its shim starts through the jailer: what it may do, what is left of it, and that snapshots know no difference. */
import { existsSync } from "node:fs";
import { chmod, mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { leakGate } from "../../../../../tests/leaks/gate.ts";
import { openPager } from "../../pager/open-pager.ts";
import type { Pager } from "../../pager/pager.ts";
import { jailerBinary, openFirecracker } from "../../testing/firecracker.ts";
import { FrozenGuest } from "../../testing/frozen-guest.ts";
import { stopLeftover } from "../shim.ts";
import type { Vmm, VirtualMachine } from "../vmm.ts";

const JAILER = jailerBinary();
const NAMESPACES = ["mnt", "net", "pid", "ipc", "uts"];
const STATUS = "Uid Gid Groups CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Umask SigBlk".split(" ");
const signal = (): AbortSignal => AbortSignal.timeout(200_000);
/** Whether neither the mount nor its file system is read-only, by a line of mountinfo. */
const isWritable = (line: string): boolean => !/ ro(?:[ ,]|$)/.test(line);
const hostMounts = async (): Promise<string> => readFile("/proc/self/mountinfo", "utf8");

describe.skipIf(JAILER === undefined)("Firecracker in its jailer", () => {
  let root: string;
  let pager: Pager;
  let guest: FrozenGuest;
  let plain: Vmm;
  let jailed: Vmm;
  leakGate();
  beforeEach(async () => {
    root = await mkdtemp("/tmp/wrenn-jailer-");
    await chmod(root, 0o711);
    guest = new FrozenGuest(root);
    pager = await openPager({ stateDirectory: root, log: pino({ level: "silent" }) }, signal());
    plain = await openFirecracker(root, pager);
    jailed = await openFirecracker(root, pager, { jailer: JAILER });
  });
  afterEach(async () => {
    await guest.remove();
    await pager.close();
    await rm(root, { recursive: true, force: true });
  });

  /** What the VM's process may do and see, as /proc tells it. */
  async function confinementOf({ pid, record }: VirtualMachine) {
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    const own = NAMESPACES.map(
      async (kind) => (await readlink(`/proc/${pid}/ns/${kind}`)) !== (await readlink(`/proc/self/ns/${kind}`)),
    );
    const mounts = (await readFile(`/proc/${pid}/mountinfo`, "utf8")).trim().split("\n");
    const pathsOf = (lines: string[]): string =>
      lines
        .map((line) => (line.split(" ")[4] ?? "").replace(record.directory, "own"))
        .toSorted()
        .join(" ");
    return {
      status: STATUS.map((key) => new RegExp(`^${key}:.*$`, "m").exec(status)?.[0]),
      ownNamespaces: await Promise.all(own),
      mounts: pathsOf(mounts),
      writable: pathsOf(mounts.filter(isWritable)),
      devices: (await readdir(`/proc/${pid}/root/dev`)).map((name) => name.replace(/^dm-\d+$/, "disk")).toSorted(),
    };
  }

  it("may do what it may without, and what it captured is restored in both", async () => {
    const frozen = await guest.freeze(jailed, signal());
    const vms = [
      await plain.restore({ ...(await guest.place("plain", signal())), ...frozen }, signal()),
      await jailed.restore({ ...(await guest.place("jailed", signal())), ...frozen }, signal()),
    ] as const;
    try {
      const [without, within] = [await confinementOf(vms[0]), await confinementOf(vms[1])];
      // The jailer makes a TUN for a VM without a network too; in an empty network namespace it leads nowhere.
      expect(within).toEqual({ ...without, devices: [...without.devices, "net"].toSorted() });
      expect(within.status.join("\n")).toMatch(/CapBnd:\t0{16}\n.*NoNewPrivs:\t1\nSeccomp:\t2\nUmask:\t0077/s);
      expect(within.ownNamespaces).not.toContain(false);
      expect(within.writable).toBe("own");
    } finally {
      await Promise.all(vms.map((vm) => vm.stop()));
    }
  });

  it("restores what was captured without, and leaves nothing when its shim or it is killed", async () => {
    const frozen = await guest.freeze(plain, signal());
    const before = await hostMounts();
    for (const who of ["shim", "firecracker"]) {
      const placement = await guest.place(who, signal());
      const vm = await jailed.restore({ ...placement, ...frozen }, signal());
      expect(await hostMounts()).toBe(before);
      const files = await readdir(placement.directory);
      const shim = /^PPid:\s+(\d+)$/m.exec(await readFile(`/proc/${vm.pid}/status`, "utf8"))?.[1];
      process.kill(who === "shim" ? Number(shim) : vm.pid, "SIGKILL");
      expect((await vm.exited).kind).toBe(who === "shim" ? "lost" : "signal");
      // By whoever finds it, and once more.
      await stopLeftover(placement.supervisionDirectory);
      await stopLeftover(placement.supervisionDirectory);
      await expect.poll(() => existsSync(`/proc/${vm.pid}`), { timeout: 30_000 }).toBe(false);
      expect(await hostMounts()).toBe(before);
      expect(await readdir(placement.directory)).toEqual(files);
    }
  });
});
