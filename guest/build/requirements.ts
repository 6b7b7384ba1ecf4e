/** What the build needs on the host. */

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
