/** The built-in templates: which Debian packages are in them, and why. */

/** A template's recipe. */
export interface TemplateRecipe {
  name: string;
  /** mmdebstrap's variant: `minbase` brings apt, `essential` does not. */
  variant: "minbase" | "essential";
  /** Packages beyond the variant's, each with the reason that it is there. */
  packages: Readonly<Record<string, string>>;
  /** Directories below `guest/rootfs` whose files are put on top, in order. */
  overlays: readonly string[];
  vcpus: number;
  memoryMib: number;
}

/** Size of the disk that the guest sees; the image holds only what is used. */
export const ROOTFS_VIRTUAL_BYTES = 8 * 1024 ** 3;

/** Who commands run as unless told. */
export const DEFAULT_USER = { name: "user", uid: 1000, home: "/home/user" } as const;

export const TEMPLATES: readonly TemplateRecipe[] = [
  {
    name: "base",
    variant: "minbase",
    packages: {
      "ca-certificates": "HTTPS",
      curl: "HTTP from the shell",
      git: "cloning, and `git daemon`",
      iproute2: "ip and ss",
      less: "git's and people's pager",
      "libnss-myhostname": "any host name resolves to the guest itself: sudo stays quiet after a rename",
      procps: "ps, pgrep, free",
      "python-is-python3": "`python`",
      python3: "the interpreter and its standard library",
      sudo: "root for `user`",
    },
    overlays: ["all", "base"],
    vcpus: 1,
    memoryMib: 512,
  },
  {
    name: "minimal",
    variant: "essential",
    packages: {
      iproute2: "ip and ss",
    },
    overlays: ["all"],
    vcpus: 1,
    memoryMib: 512,
  },
];
