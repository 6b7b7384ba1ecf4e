/** What the build needs on the host. */
import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/errors";

/** A Debian package and why it is needed. */
export interface RequiredPackage {
  package: string;
  /** A program of the package, by which it is recognised as installed. */
  program: string;
  reason: string;
}

/** Debian packages that `ensureGuest` needs when something is to be built. */
export const GUEST_BUILD_PACKAGES: readonly RequiredPackage[] = [
  { package: "mmdebstrap", program: "mmdebstrap", reason: "builds the guest's Debian root file systems" },
  { package: "e2fsprogs", program: "mkfs.ext4", reason: "writes the guest's disk images" },
  { package: "xz-utils", program: "xz", reason: "unpacks the modules of newer Debian kernels" },
];

/** @throws WrennError `missing_requirement` naming all packages that are not installed */
export async function requireBuildPackages(): Promise<void> {
  const installed = await Promise.all(GUEST_BUILD_PACKAGES.map(({ program }) => isInstalled(program)));
  const missing = GUEST_BUILD_PACKAGES.filter((_, index) => installed[index] === false).map(
    (required) => required.package,
  );
  if (missing.length === 0) return;
  throw new WrennError("missing_requirement", `Cannot build the guest: ${missing.join(" and ")} not installed`, {
    hint: `Run: apt-get install ${missing.join(" ")}`,
  });
}

async function isInstalled(program: string): Promise<boolean> {
  for (const directory of ["/usr/bin", "/usr/sbin"]) {
    const found = await access(join(directory, program), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  return false;
}
