/** What the agent asks of a real pager about working sets; how VMs fare with them is crates/pager's and the VMM's contract to show. */
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { encodeHeader } from "../snapshot/header.ts";
import { wholeMapping } from "../snapshot/mapping.ts";
import { openPager } from "./open-pager.ts";
import type { Pager } from "./pager.ts";
import type { MemorySession } from "./pager-requests.ts";

const MEMORY_BYTES = 1024 * 1024;
const UID = 1_999_997;
const signal = (): AbortSignal => AbortSignal.timeout(20_000);

let root: string;
let pager: Pager;
let lines: string[];

beforeEach(async () => {
  root = await mkdtemp("/tmp/wrenn-pager-");
  await chmod(root, 0o711);
  lines = [];
  const log = pino({ level: "warn" }, { write: (line: string) => void lines.push(line) });
  pager = await openPager({ stateDirectory: root, log }, signal());
});
afterEach(async () => {
  await pager.close();
  await rm(root, { recursive: true });
});

/** A session over a memory of its own, whose VMM never comes. */
async function sessionOf(workingSet: string): Promise<MemorySession> {
  const memory = join(root, "mem");
  await writeFile(memory, Buffer.alloc(MEMORY_BYTES, 7));
  const mapping = wholeMapping("base", MEMORY_BYTES);
  const header = join(root, "mem.header");
  const whole = { size: MEMORY_BYTES, generation: 0, buildId: "base", baseBuildId: "base", mapping };
  await writeFile(header, encodeHeader(whole));
  const layers = { header, builds: { base: memory } };
  return { id: "vm", socket: join(root, "vm.sock"), uid: UID, gid: UID, layers, workingSet };
}

it("opens a session whose working set is missing, damaged or elsewhere, and says so in a line", async () => {
  const damaged = join(root, "damaged");
  await writeFile(damaged, "WRNWSET\u0001 and then nothing of the kind");
  for (const path of [join(root, "missing"), damaged, "/etc/passwd"]) {
    lines = [];
    await pager.openSession(await sessionOf(path), signal());
    await vi.waitFor(() => expect(lines).toHaveLength(1), { timeout: 10_000 });
    expect(lines[0]).toContain(`session vm goes on without the working set ${path}: Cannot`);
    expect(await pager.servedPages("vm", signal())).toEqual({ demanded: 0, zeros: 0, replayed: 0 });
    await pager.closeSession("vm");
  }
});

it("takes the place of a session that was left, and closes one that is gone", async () => {
  const session = await sessionOf(join(root, "missing"));
  await pager.openSession(session, signal());
  await pager.openSession(session, signal());
  expect(await pager.servedPages("vm", signal())).toMatchObject({ demanded: 0 });
  await Promise.all([pager.closeSession("vm"), pager.closeSession("vm")]);
  await pager.closeSession("vm");
  await expect(pager.servedPages("vm", signal())).rejects.toThrow("there is none of that name");
});

it("writes nothing of a session that no VM has come to, or that there is not", async () => {
  await pager.openSession(await sessionOf(join(root, "missing")), signal());
  for (const id of ["vm", "other"])
    await expect(pager.saveWorkingSet(id, join(root, "set"), signal())).rejects.toMatchObject({ code: "internal" });
  expect(await readdir(root)).not.toContain("set");
  await pager.closeSession("vm");
});
