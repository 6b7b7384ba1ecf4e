/** Binaries of Firecracker that were replaced: kept, and used, for as long as a snapshot needs them. */
import { appendFile, chmod, copyFile, mkdtemp, readdir, readlink, rm } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { leakGate } from "../../../../../tests/leaks/gate.ts";
import { openPager } from "../../pager/open-pager.ts";
import type { Pager } from "../../pager/pager.ts";
import { firecrackerBinary, hasFirecracker, openFirecracker } from "../../testing/firecracker.ts";
import { FrozenGuest } from "../../testing/frozen-guest.ts";

const signal = (): AbortSignal => AbortSignal.timeout(200_000);

describe.skipIf(!hasFirecracker())("a Firecracker that was replaced", () => {
  let root: string;
  let pager: Pager;
  let guest: FrozenGuest;
  leakGate();
  beforeEach(async () => {
    root = await mkdtemp("/tmp/wrenn-builds-");
    await chmod(root, 0o711);
    guest = new FrozenGuest(root);
    pager = await openPager({ stateDirectory: root, log: pino({ level: "silent" }) }, signal());
  });
  afterEach(async () => {
    await guest.remove();
    await pager.close();
    await rm(root, { recursive: true, force: true });
  });

  /** The same program under another hash: what follows an ELF file's last section is nothing to it. */
  async function replacement(): Promise<string> {
    const path = join(root, "replacement");
    await copyFile(firecrackerBinary, path);
    await chmod(path, 0o755);
    await appendFile(path, "\0");
    return path;
  }
  const hashOf = (build: string): string => build.split(" ").at(-1) ?? "";
  const kept = async (): Promise<string[]> => (await readdir(join(root, "firecracker"))).sort();

  it("restores what it captured, and is removed when nothing needs it any more", async () => {
    const frozen = await guest.freeze(await openFirecracker(root, pager), signal());
    const present = await openFirecracker(root, pager, { program: await replacement() });
    const build = present.compatibility["vmm"] ?? "";
    expect(build).not.toBe(frozen.build);
    expect(present.builds).toEqual(new Set([build, frozen.build]));

    const vm = await present.restore({ ...(await guest.place("second", signal())), ...frozen }, signal());
    expect(vm.record.build).toBe(frozen.build);
    expect(await readlink(`/proc/${vm.pid}/exe`)).toContain(hashOf(frozen.build));
    await vm.stop();

    await present.forgetBuilds(new Set([frozen.build]));
    expect(await kept()).toEqual([build, frozen.build].map((one) => `firecracker-${hashOf(one)}`).sort());
    await present.forgetBuilds(new Set());
    expect(await kept()).toEqual([`firecracker-${hashOf(build)}`]);
    await expect(
      present.restore({ ...(await guest.place("third", signal())), ...frozen }, signal()),
    ).rejects.toMatchObject({ code: "incompatible_snapshot" });
  });
});
