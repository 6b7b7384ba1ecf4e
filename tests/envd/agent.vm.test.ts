/**
 * The guest agent in a real VM: what differs from the enclosure on the host, where all its rules are
 * tested (`docs/reference/envd.md`): its own kernel, clock and disk, PID 1, the cgroup root, the gateway.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestHost, type TestHost } from "../../apps/host-agent/src/testing/host-fixture.ts";
import { leakGate } from "../leaks/gate.ts";
import { guestOf, pids, request, run, runToEnd, startAndLeave, upload, type Guest } from "./guest.ts";

let host: TestHost;
let guest: Guest;
leakGate(() => ({ directories: [`${host.stateDirectory}/sandboxes`] }));
beforeAll(async () => {
  host = await startTestHost();
  guest = guestOf((await host.manager.create(host.request())).sandbox);
});
afterAll(async () => {
  await host.stop();
});

const init = async (fields: object): Promise<number> =>
  (await request(guest, "POST", "/init", JSON.stringify(fields))).status;
const signalOf = (pid: number) => ({ process: { selector: { case: "pid" as const, value: pid } } });
const liveSleepers = "pgrep -cx -r R,S,D,T sleep";

it("the hook sets the kernel's clock, pool and names", async () => {
  const random = "head -c 16 /dev/urandom | sha256sum";
  const before = await run(guest, random);
  try {
    const entropy = Buffer.alloc(512, "not random at all").toString("base64");
    expect(await init({ timestamp: "2031-02-03T04:05:06.5Z", entropy })).toBe(204);
    expect(await run(guest, "date -u +%FT%H:%M")).toBe("2031-02-03T04:05");
    expect(await run(guest, random)).not.toBe(before);
  } finally {
    expect(await init({ timestamp: new Date().toISOString() })).toBe(204);
  }
  expect(Math.abs(Number(await run(guest, "date +%s%3N")) - Date.now())).toBeLessThan(5_000);

  const machineId = "0123456789abcdef0123456789abcdef";
  expect(await init({ hostname: "renamed", machineId, envVars: { COLOUR: "red" } })).toBe(204);
  const names =
    "hostname; cat /etc/hostname /etc/machine-id; getent ahostsv4 renamed | head -1 | cut -d' ' -f1; echo $COLOUR";
  expect((await run(guest, names)).split("\n")).toEqual(["renamed", "renamed", machineId, "127.0.1.1", "red"]);
});

it("the hook closes the connections from before, and only the gateway is answered", async () => {
  const { hostname, port } = new URL(guest.url);
  const old = connect(Number(port), hostname);
  await once(old, "connect");
  const ended = once(old.resume(), "close");
  expect(await init({})).toBe(204);
  await ended;

  const ask = (address: string) => run(guest, `curl -s -m 5 http://${address}:49983/health; echo $?`);
  for (const address of ["127.0.0.1", "169.254.0.21"]) expect(Number(await ask(address))).toBeGreaterThan(0);
  expect((await request(guest, "GET", "/health")).status).toBe(204);
});

it("a kill reaches what left session, tree and terminal, and answers when its cgroup is empty", async () => {
  const script =
    "(setsid sleep 300 &) ; (trap '' TERM HUP INT; sleep 300) & setsid setsid sleep 300 & sleep 300 & wait";
  const pid = await startAndLeave(guest, "/bin/bash", ["-c", script], { user: "user" });
  await expect.poll(() => run(guest, liveSleepers), { timeout: 10_000 }).toBe("4");
  await guest.processes.sendSignal({ ...signalOf(pid), signal: 9 });
  expect(await run(guest, liveSleepers)).toBe("0");
  expect(await pids(guest)).not.toContain(pid);
  // Only that of the shell that counts them is left.
  await expect.poll(() => run(guest, "find /sys/fs/cgroup/envd-* -mindepth 1 -type d | wc -l")).toBe("1");
});

it("a terminal passes on sizes and keys, and a signal ends its shell", async () => {
  const pid = await startAndLeave(guest, "/bin/bash", ["--norc", "-i"], { user: "user", pty: { cols: 91, rows: 33 } });
  let screen = "";
  let status = "";
  const followed = (async () => {
    for await (const { event } of guest.processes.connect(signalOf(pid))) {
      if (event?.event.case === "data") screen += Buffer.from(event.event.value.output.value ?? []).toString();
      if (event?.event.case === "end") ({ status } = event.event.value);
    }
  })();
  const type = (text: string) =>
    guest.processes.sendInput({ ...signalOf(pid), input: { input: { case: "pty", value: Buffer.from(text) } } });
  await type("stty size; id -un; sleep 300\n");
  await expect.poll(() => screen, { timeout: 10_000 }).toMatch(/33 91\s+user/);
  await guest.processes.update({ ...signalOf(pid), pty: { size: { cols: 120, rows: 40 } } });
  await expect.poll(() => run(guest, liveSleepers), { timeout: 10_000 }).toBe("1");
  await type("\u0003stty size\n");
  await expect.poll(() => screen, { timeout: 10_000 }).toContain("40 120");
  await guest.processes.sendSignal({ ...signalOf(pid), signal: 9 });
  await followed;
  expect(status).toBe("signal: killed");
});

it("users have their groups, rights and files", async () => {
  expect(await run(guest, "id -un; id -Gn; sudo -n id -un; umask", "user")).toBe("user\nuser\nroot\n0022");
  await upload(guest, "/home/user/new/file", "1");
  expect(await run(guest, "stat -c '%U:%G %a' /home/user/new /home/user/new/file")).toBe(
    "user:user 755\nuser:user 644",
  );
  expect(await run(guest, "touch /root/mine 2>/dev/null || echo refused", "user")).toBe("refused");
});

it("metrics are those of the VM", async () => {
  const told = (await (await request(guest, "GET", "/metrics")).json()) as Record<string, number>;
  const [memory, disk] = (
    await run(guest, "awk '/MemTotal/ {print $2 * 1024}' /proc/meminfo; df -B1 --output=size / | tail -1")
  )
    .split("\n")
    .map(Number);
  expect(told).toMatchObject({ cpu_count: 1, mem_total: memory, disk_total: disk });
  expect(told["mem_used"]).toBeGreaterThan(0);
  expect(Math.abs(told["ts"]! - Date.now() / 1_000)).toBeLessThan(5);
});

it("a frozen root takes no writes until it is thawed, and nothing is lost", async () => {
  expect((await request(guest, "POST", "/fsfreeze")).status).toBe(204);
  try {
    let isWritten = false;
    const written = upload(guest, "/home/user/late", "after the thaw").then(() => (isWritten = true));
    expect((await request(guest, "GET", "/health")).status).toBe(204);
    expect(await pids(guest)).toEqual([]);
    expect(isWritten).toBe(false);
    expect((await request(guest, "POST", "/fsthaw")).status).toBe(204);
    await written;
  } finally {
    expect((await request(guest, "POST", "/fsthaw")).status).toBe(204);
  }
  expect(await run(guest, "cat /home/user/late")).toBe("after the thaw");
});

it("a full disk is told, and what was there stays", async () => {
  await upload(guest, "/home/user/small", "still here");
  // Unwritten extents: the space is taken without a byte going to the host.
  await run(
    guest,
    "for size in $(($(stat -fc '%f * %S' /) - (1 << 20))) 1048576 65536 4096; do n=0; while fallocate -l $size /fill-$size-$((n++)) 2>/dev/null; do :; done; done",
  );
  const answer = await request(guest, "POST", "/files?path=/home/user/large", new Uint8Array(4 << 20));
  expect(answer.status).toBe(507);
  expect(await run(guest, "ls /home/user/large 2>/dev/null; cat /home/user/small")).toBe("still here");
  await run(guest, "rm -f /fill-*");
  await upload(guest, "/home/user/large", "fits again");
});

it("want of memory is told with the command's name, and the agent outlives it", async () => {
  // A limit of the guest's own: to use up all memory, an emulated VM works for minutes.
  const limit = "cd /sys/fs/cgroup; mkdir small; echo 32M >small/memory.max; echo $$ >small/cgroup.procs";
  const { end } = await runToEnd(guest, `${limit}; tail /dev/zero; exit $?`);
  expect(end).toMatchObject({ exitCode: 137, oom: true });
  expect(end.error).toContain("the kernel killed 'tail'");
  expect(await run(guest, "echo alive")).toBe("alive");
});
