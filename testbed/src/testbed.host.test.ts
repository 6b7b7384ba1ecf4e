import { access, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { EXCHANGE_MOUNT } from "./paths.ts";
import { bootAndRun } from "./testing/boot.ts";

/** Without KVM and beside other work a boot may take a minute. */
const BOOT_DEADLINE_MS = 240_000;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-testbed-test-"));
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

const ownFiles = async (): Promise<string[]> =>
  (await readdir(tmpdir())).filter(
    (name) => name.startsWith("wrenn-testbed-") && !name.startsWith("wrenn-testbed-test-"),
  );

it(
  "runs a command on a machine with KVM, device-mapper and a disk with reflinks, and changes nothing outside",
  { timeout: BOOT_DEADLINE_MS },
  async () => {
    const before = await ownFiles();
    const marker = "/root/wrenn-testbed-marker";
    const script = `
      test -c /dev/kvm && test -c /dev/userfaultfd && test -c /dev/net/tun || exit 20
      dmsetup targets | grep -q '^snapshot ' || exit 21
      truncate -s 8M /tmp/image && cp --reflink=always /tmp/image /tmp/clone || exit 22
      loop=$(losetup --find --show --direct-io=on /tmp/image) && losetup --detach "$loop" || exit 23
      grep -q memory /sys/fs/cgroup/cgroup.controllers || exit 24
      ip netns add probe && ip netns exec probe ip tuntap add tap0 mode tap || exit 25
      nft add table ip probe && nft add chain ip probe nat '{ type nat hook postrouting priority 100; }' || exit 26
      echo changed > ${marker}
      echo "to stderr" >&2; tr a-z A-Z; exit 7`;
    const result = await bootAndRun(["sh", "-c", script], { inputText: "from standard input\n" });
    expect(result).toEqual({
      end: { kind: "exit", code: 7 },
      stdout: "FROM STANDARD INPUT\n",
      stderr: "to stderr\n",
    });
    await expect(access(marker)).rejects.toThrow("ENOENT");
    expect(await ownFiles()).toEqual(before);
  },
);

it(
  "keeps a disk over a power cut: what was flushed is there, what was not is gone",
  { timeout: 2 * BOOT_DEADLINE_MS },
  async () => {
    const scratchPath = join(directory, "disk");
    const write = "echo kept > /tmp/kept; sync; echo lost > /tmp/lost; exec testbed/guest/cut-power";
    const first = await bootAndRun(["sh", "-c", write], { scratchPath, fileSystem: "ext4" });
    expect(first.end).toEqual({ kind: "powerCut" });
    const second = await bootAndRun(["sh", "-c", `cat /tmp/kept; ls /tmp; cat ${EXCHANGE_MOUNT}/note`], {
      scratchPath,
      exchangeDirectory: await exchangeWith("note", "from outside\n"),
    });
    expect(second).toMatchObject({ end: { kind: "exit", code: 0 }, stdout: "kept\nkept\nfrom outside\n" });
  },
);

it("gives a command a terminal of the size that is asked for", { timeout: BOOT_DEADLINE_MS }, async () => {
  const script = "test -t 0 && test -t 1 && stty size && read line && echo got $line";
  const input = Readable.from(typed("hello\n"));
  const result = await bootAndRun(["sh", "-c", script], { terminal: { rows: 33, columns: 99 }, input });
  input.destroy();
  expect(result.end).toEqual({ kind: "exit", code: 0 });
  expect(result.stdout).toContain("33 99");
  expect(result.stdout).toContain("got hello");
});

/** Again and again: nobody reads a terminal that no command has opened yet. */
async function* typed(line: string): AsyncGenerator<Buffer> {
  for (;;) {
    yield Buffer.from(line);
    await setTimeout(500);
  }
}

it("refuses a disk that is none, before anything is started", async () => {
  const scratchPath = join(directory, "text");
  await writeFile(scratchPath, "not a disk".repeat(200));
  await expect(bootAndRun(["true"], { scratchPath })).rejects.toMatchObject({ code: "invalid_request" });
});

it("ends at once when it is canceled", { timeout: BOOT_DEADLINE_MS }, async () => {
  const controller = new AbortController();
  const running = bootAndRun(["sleep", "1000"], { signal: controller.signal });
  void setTimeout(500).then(() => controller.abort(new Error("canceled by the test")));
  await expect(running).rejects.toThrow("canceled by the test");
});

async function exchangeWith(name: string, content: string): Promise<string> {
  const exchange = await mkdtemp(join(directory, "exchange-"));
  await writeFile(join(exchange, name), content);
  return exchange;
}
