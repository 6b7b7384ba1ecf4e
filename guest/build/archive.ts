/**
 * Debian's archive as the host's own apt is configured to reach it: mirror, suite, proxy and CA come
 * from there, and only entries that are Debian's own are used. Its index goes to a directory of the
 * build, so the host's package lists stay as they are.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

/** The key ring of the package debian-archive-keyring: nothing that it did not sign is used. */
const DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Settings of the host's apt that decide how, not what, it downloads. */
const DOWNLOAD_SETTINGS = /^Acquire::(https?|Retries|Check-Valid-Until|Check-Date|ForceIPv4|ForceIPv6|socks)(::\S+)? /i;

/** What steps need to get packages. */
export interface DebianArchive {
  /** `bookworm`. */
  codename: string;
  /** Entries for `sources.list`, one a line. */
  sourcesListPath: string;
  /** The fetched index, as it goes to /var/lib/apt/lists. */
  listsPath: string;
  /** apt.conf with the host's proxy, CA and retry settings. */
  downloadConfPath: string;
  /** Downloads packages as `.deb` files into a directory; returns their paths, in the order of the names. */
  download(
    packages: readonly string[],
    directory: string,
    onBytes: (done: number, total: number) => void,
  ): Promise<string[]>;
  /** A field of a package's newest version, such as `Depends`. */
  field(packageName: string, field: string): Promise<string>;
}

/** The host's Debian release, by its code name. @throws WrennError `unsupported` on other systems */
export async function debianCodename(): Promise<string> {
  const text = await readFile("/etc/os-release", "utf8");
  const codename = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(text)?.[1];
  if (codename === undefined || !/^ID="?debian"?$/m.test(text)) {
    throw new WrennError("unsupported", "Cannot build the guest: this host is not a Debian release", {
      hint: "Debian 12 or newer builds it from its own package archive",
    });
  }
  return codename;
}

/** Finds the host's Debian entries and fetches their index into `directory`. */
export async function openDebianArchive(directory: string, signal: AbortSignal): Promise<DebianArchive> {
  const codename = await debianCodename();
  const sourcesListPath = join(directory, "debian.list");
  const downloadConfPath = join(directory, "download.conf");
  const confPath = join(directory, "apt.conf");
  const listsPath = join(directory, "lists");
  await mkdir(join(listsPath, "partial"), { recursive: true });
  await mkdir(join(directory, "cache"), { recursive: true });

  const sources = await debianSources(codename, directory, signal);
  await writeFile(sourcesListPath, sources.join("\n") + "\n");
  await writeFile(downloadConfPath, (await hostDownloadSettings(signal)).join("\n") + "\n");
  await writeFile(
    confPath,
    [
      "#clear APT::Update;", // the host's hooks are about the host's lists
      `Dir::Etc::sourcelist "${sourcesListPath}";`,
      'Dir::Etc::sourceparts "/dev/null";',
      ...privateDirectories(directory),
      "",
    ].join("\n"),
  );
  const apt = (args: string[]): [string, ...string[]] => ["apt-get", "-c", confPath, "--quiet", ...args];
  await run(apt(["update", "--error-on=any"]), { signal, timeoutMs: 300_000, env: { LC_ALL: "C.UTF-8" } });

  return {
    codename,
    sourcesListPath,
    listsPath,
    downloadConfPath,
    async download(packages, into, onBytes) {
      // There, because apt leaves out what lies in the working directory already.
      const { stdout } = await run(apt(["download", "--print-uris", ...packages]), { cwd: into, signal });
      const files = [...stdout.matchAll(/^'[^']*' (\S+) (\d+) /gm)].map(([, name = "", size]) => ({
        name,
        size: Number(size),
      }));
      const total = files.reduce((sum, file) => sum + file.size, 0);
      await run(apt(["download", "--option", "APT::Status-Fd=2", ...packages]), {
        cwd: into,
        signal,
        timeoutMs: 900_000,
        onLine(line) {
          const percent = /^dlstatus:\d+:([\d.]+):/.exec(line)?.[1];
          if (percent !== undefined) onBytes((total * Number(percent)) / 100, total);
        },
      });
      return packages.map((name) => join(into, files.find((file) => file.name.startsWith(`${name}_`))?.name ?? ""));
    },
    async field(packageName, field) {
      const { stdout } = await run(["apt-cache", "-c", confPath, "show", "--no-all-versions", packageName], { signal });
      const value = new RegExp(`^${field}: (.*)$`, "m").exec(stdout)?.[1];
      if (value === undefined)
        throw new WrennError("internal", `Cannot find ${field} of the Debian package ${packageName}`);
      return value;
    },
  };
}

function privateDirectories(directory: string): string[] {
  return [
    `Dir::State::lists "${join(directory, "lists")}";`,
    `Dir::Cache "${join(directory, "cache")}";`,
    'Acquire::Languages "none";',
  ];
}

/** The host's entries of Debian's main archive, as lines for `sources.list`. */
async function debianSources(codename: string, directory: string, signal: AbortSignal): Promise<string[]> {
  let targets = await indexTargets([], signal);
  if (!targets.some((target) => target.origin === "Debian")) {
    // No package lists, as in container images: fetch them all once, aside, to see which are Debian's.
    const confPath = join(directory, "all.conf");
    await writeFile(confPath, ["#clear APT::Update;", ...privateDirectories(directory), ""].join("\n"));
    await run(["apt-get", "-c", confPath, "--quiet", "update"], {
      signal,
      timeoutMs: 300_000,
      env: { LC_ALL: "C.UTF-8" },
    });
    targets = await indexTargets(["-c", confPath], signal);
  }
  const releases = [codename, `${codename}-updates`, `${codename}-security`];
  const own = targets.filter(
    (target) =>
      target.origin === "Debian" &&
      target.component === "main" &&
      releases.includes(target.codename) &&
      !target.uri.startsWith("cdrom:"),
  );
  if (!own.some((target) => target.codename === codename)) {
    throw new WrennError(
      "missing_requirement",
      `Cannot build the guest: apt has no entry for Debian ${codename} main`,
      {
        hint: "Add one to /etc/apt/sources.list.d, run `apt-get update`, and try again",
      },
    );
  }
  const lines = own.map(
    async (target) => `deb [signed-by=${DEBIAN_KEYRING}] ${await plainUri(target.uri)} ${target.release} main`,
  );
  return [...new Set(await Promise.all(lines))].sort();
}

interface IndexTarget {
  origin: string;
  codename: string;
  release: string;
  component: string;
  uri: string;
}

async function indexTargets(flags: string[], signal: AbortSignal): Promise<IndexTarget[]> {
  const format = ["ORIGIN", "CODENAME", "RELEASE", "COMPONENT", "REPO_URI"].map((field) => `$(${field})`).join("|");
  const { stdout } = await run(["apt-get", ...flags, "indextargets", "--format", format, "Created-By: Packages"], {
    signal,
  });
  return stdout
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const [origin = "", codename = "", release = "", component = "", uri = ""] = line.split("|");
      return { origin, codename, release, component, uri };
    });
}

/** Cloud images name a file with a list of mirrors; the guest, which has no such file, gets the first. */
async function plainUri(uri: string): Promise<string> {
  const list = /^mirror\+file:(\/.*?)\/?$/.exec(uri)?.[1];
  if (list === undefined) return uri;
  return (await readFile(list, "utf8")).split(/\s/).find((word) => /^https?:/.test(word)) ?? uri;
}

async function hostDownloadSettings(signal: AbortSignal): Promise<string[]> {
  const { stdout } = await run(["apt-config", "dump"], { signal });
  return [
    ...stdout.split("\n").filter((line) => DOWNLOAD_SETTINGS.test(line)),
    'Acquire::Languages "none";',
    // Credentials of private mirrors stay in the host's files; apt reads them from outside the new root.
    'Dir::Etc::netrc "/etc/apt/auth.conf";',
    'Dir::Etc::netrcparts "/etc/apt/auth.conf.d";',
  ];
}
