/**
 * What a built guest is: one JSON file that the host agent reads at start. Everything that it names
 * is immutable; a rebuild writes new paths and replaces the manifest.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/errors";

/** A built-in template's build. */
export interface GuestTemplate {
  /** `base` or `minimal`. */
  name: string;
  /** `bld_` + 20 characters, derived from the inputs: equal inputs, equal id. */
  buildId: string;
  /** ext4 image, read-only (0444), sparse. */
  rootfsPath: string;
  /** Size that the guest sees, bytes. */
  virtualBytes: number;
  /** Allocated bytes. */
  sizeBytes: number;
  /** User that commands run as unless told. */
  defaultUser: string;
  vcpus: number;
  memoryMib: number;
}

/** The guest that this host runs. */
export interface GuestManifest {
  kernelPath: string;
  /** `uname -r` of the guest. */
  kernelRelease: string;
  initramfsPath: string;
  /** SHA-256 over kernel and initramfs, hex; part of a snapshot's compatibility key. */
  kernelHash: string;
  /** Kernel arguments that the guest needs whatever the VMM is, such as `root=`. */
  kernelArguments: string[];
  templates: GuestTemplate[];
}

/** Where the manifest of a state directory is. */
export function guestManifestPath(stateDirectory: string): string {
  return join(stateDirectory, "guest", "manifest.json");
}

/** @throws WrennError `missing_requirement` when the guest has not been built. */
export async function readGuestManifest(stateDirectory: string): Promise<GuestManifest> {
  try {
    return JSON.parse(await readFile(guestManifestPath(stateDirectory), "utf8")) as GuestManifest;
  } catch (cause) {
    throw new WrennError("missing_requirement", `Cannot read the guest of ${stateDirectory}: it has not been built`, {
      cause,
      hint: "Run ./wrenn up, which builds it",
    });
  }
}
