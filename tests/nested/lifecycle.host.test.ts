/** One life of a sandbox, from create to destroy, on every combination of VMM and disks that this machine can run. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { combinationsOfLives } from "./combinations.ts";
import { startTestbedPlatform, type TestbedPlatform } from "./testbed-platform.ts";

/** The smallest. */
const TEMPLATE = "minimal";
/** Everything is emulated where there is no KVM. */
const DEADLINE_MS = 900_000;
const EXEC_TIMEOUT_SEC = 300;
const MACHINE = { template: TEMPLATE, vcpus: 1, memory_mb: 160, timeout_sec: 0 };
const CONTENT = randomBytes(100_000);

/** Asks Firecracker's MMDS, version 2, for the guest's own id, with nothing but bash. */
const READ_METADATA = `
  ask() {
    exec 3<>/dev/tcp/169.254.169.254/80
    printf "$1\\r\\n\\r\\n" >&3
    while read -r line <&3; line=\${line%$'\\r'}; [ -n "$line" ]; do
      case $line in [Cc]ontent-[Ll]ength:*) length=\${line#*: } ;; esac
    done
    head -c "$length" <&3
    exec 3>&-
  }
  token=$(ask 'PUT /latest/api/token HTTP/1.1\\r\\nX-metadata-token-ttl-seconds: 60')
  ask "GET /sandboxId HTTP/1.1\\r\\nX-metadata-token: $token\\r\\nAccept: text/plain"`;

const ALL = await combinationsOfLives();
const lived: string[] = [];
afterAll(() => console.log(`nested: whole lives on ${lived.length} of ${ALL.length}: ${lived.join(", ") || "none"}`));

describe.each(ALL)("$name", ({ name, env, lacks }) => {
  let platform: TestbedPlatform;
  beforeAll(async () => {
    platform = await startTestbedPlatform(env, [TEMPLATE]);
  }, DEADLINE_MS);
  afterAll(async () => {
    await platform?.stop();
  }, DEADLINE_MS);

  const call = async (method: string, path: string, body?: unknown): Promise<any> => {
    const startedAt = performance.now();
    const answer = await platform.request(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    console.log(`${method} ${path.replace(/sb\w{20}/, "{id}")}: ${Math.round(performance.now() - startedAt)} ms`);
    return answer.body;
  };
  const shell = async (id: string, script: string, cmd = "sh"): Promise<string> => {
    const { stdout, exit_code } = await call("POST", `/v1/sandboxes/${id}/exec`, {
      cmd,
      args: ["-c", script],
      user: "root",
      timeout_sec: EXEC_TIMEOUT_SEC,
    });
    expect(exit_code).toBe(0);
    return stdout.trim();
  };

  /** What the guest's VMM tells it of itself, where it does. */
  const expectMetadata = async (id: string): Promise<void> => {
    if (env["WRENN_FIRECRACKER"] !== undefined) expect(await shell(id, READ_METADATA, "bash")).toBe(id);
  };

  /** Where the pages came from with which a guest ran again, by the record of the last such operation. */
  const pagesOfLast = async (operation: string, id: string): Promise<Record<string, number>> => {
    const all: Record<string, any>[] = await call("GET", `/v1/sandboxes/${id}/operations`);
    const { stages } = all.findLast((one) => one["operation"] === operation) as { stages: { pages?: object }[] };
    return Object.assign({}, ...stages.map(({ pages }) => pages));
  };
  const pauseAndResume = async (id: string): Promise<Record<string, number>> => {
    expect((await call("POST", `/v1/sandboxes/${id}/pause`)).status).toBe("paused");
    expect((await call("POST", `/v1/sandboxes/${id}/resume`)).status).toBe("running");
    return await pagesOfLast("resume", id);
  };
  /** Firecracker's layers are served by the pager, which knows what the guest asked for the last time. */
  const expectReplayed = (pages: Record<string, number>): void =>
    env["WRENN_FIRECRACKER"] === undefined
      ? expect(Object.keys(pages)).toEqual(["mapped", "injected"])
      : expect(pages["replayed"]).toBeGreaterThan(0);

  it.skipIf(lacks !== undefined)(
    "creates, runs, pauses, resumes, forks, snapshots and destroys, over an agent that is killed",
    { timeout: DEADLINE_MS },
    async () => {
      const { id } = await call("POST", "/v1/sandboxes", MACHINE);
      expect(await shell(id, "nproc; hostname")).toBe(`1\n${id}`);
      await expectMetadata(id);
      await platform.file(id, "/root/content", CONTENT);
      await shell(id, "(n=0; while :; do echo $n >> /dev/shm/count; n=$((n+1)); sleep 1; done) >/dev/null 2>&1 &");
      await shell(id, "echo before >/root/when; sync");

      expect((await pauseAndResume(id))["replayed"] ?? 0).toBe(0); // nobody knows yet what it asks for
      const count = Number(await shell(id, "tail -n 1 /dev/shm/count"));
      expect((await platform.file(id, "/root/content")).equals(CONTENT)).toBe(true);
      expect(Number(await shell(id, "sleep 3; tail -n 1 /dev/shm/count"))).toBeGreaterThan(count);

      const [{ id: child }] = await call("POST", `/v1/sandboxes/${id}/fork`, { count: 1 });
      expectReplayed(await pagesOfLast("fork", child));
      await shell(child, "echo child >/root/when; sync");
      expect(await shell(id, "cat /root/when")).toBe("before");
      await expectMetadata(child);

      await platform.restartAgent();
      expect(await shell(child, "cat /root/when")).toBe("child");

      await call("POST", "/v1/snapshots", { sandbox_id: child, name: "life" });
      expect((await call("GET", "/v1/snapshots")).map(({ name }: { name: string }) => name)).toEqual(["life"]);
      const other = (await call("POST", "/v1/sandboxes", { template: "life" })).id as string;
      expect(await shell(other, "cat /root/when")).toBe("child");

      // Once more, on what lies below by now.
      expectReplayed(await pauseAndResume(id));
      expect((await platform.file(id, "/root/content")).equals(CONTENT)).toBe(true);

      // What one sandbox of a template asked for, the next one is given at its first resume.
      const { id: next } = await call("POST", "/v1/sandboxes", MACHINE);
      if (env["WRENN_FIRECRACKER"] !== undefined) expectReplayed(await pauseAndResume(next));

      for (const one of [id, child, other, next]) await call("DELETE", `/v1/sandboxes/${one}`);
      await call("DELETE", "/v1/snapshots/life");
      expect(await call("GET", "/v1/snapshots")).toEqual([]);
      lived.push(name);
    },
  );
});
