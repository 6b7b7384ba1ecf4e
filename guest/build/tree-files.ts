/** What a template's tree holds beside its packages. `root` is the tree's directory on the host. */
import { chmod, chown, copyFile, cp, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { remove, rename, statIfExists } from "@wrenn/effects";
import { filesBelow } from "./recipe.ts";
import { DEFAULT_USER } from "./templates.ts";

/** Copies the files of an overlay; their modes are said here, as a checkout's depend on its umask. */
export async function addOverlay(overlay: string, root: string): Promise<void> {
  for (const path of await filesBelow(overlay)) {
    const target = join(root, path);
    await mkdir(dirname(target), { recursive: true });
    await remove(target);
    await copyFile(join(overlay, path), target);
    await chmod(target, path.startsWith("etc/sudoers.d/") ? 0o440 : 0o644);
  }
}

/** Adds the default user by its lines, as `minimal` has no useradd. */
export async function addUser(root: string): Promise<void> {
  const { name, uid, home } = DEFAULT_USER;
  await addLine(join(root, "etc/passwd"), `${name}:x:${uid}:${uid}::${home}:/bin/bash`);
  await addLine(join(root, "etc/group"), `${name}:x:${uid}:`);
  await addLine(join(root, "etc/shadow"), `${name}:*:20000:0:99999:7:::`);
  await addLine(join(root, "etc/gshadow"), `${name}:!::`);

  // A login shell's farewell would cost every command a process.
  await remove(join(root, "etc/skel/.bash_logout"));
  const homeDirectory = join(root, home);
  await mkdir(homeDirectory);
  for (const target of [homeDirectory, join(root, "root")]) {
    await cp(join(root, "etc/skel"), target, { recursive: true });
  }
  await chown(homeDirectory, uid, uid);
  for (const path of await filesBelow(homeDirectory)) await chown(join(homeDirectory, path), uid, uid);
}

async function addLine(path: string, line: string): Promise<void> {
  const text = (await statIfExists(path)) === undefined ? "" : await readFile(path, "utf8");
  await writeFile(path, `${text}${line}\n`);
}

/** Removes what the build left: settings of this host's apt and dpkg, logs and caches. */
export async function tidy(root: string): Promise<void> {
  const sources = join(root, "etc/apt/sources.list.d/0000debian.list");
  if ((await statIfExists(sources)) !== undefined) await rename(sources, join(root, "etc/apt/sources.list"));
  const leftovers = ["etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap", "var/cache/ldconfig"];
  for (const path of leftovers) await remove(join(root, path));
  for (const path of ["var/cache/debconf", "var/log"]) {
    await remove(join(root, path));
    await mkdir(join(root, path));
  }
  await writeFile(join(root, "etc/machine-id"), "", { mode: 0o444 });
  await writeFile(join(root, "etc/resolv.conf"), "nameserver 169.254.0.22\n");
}
