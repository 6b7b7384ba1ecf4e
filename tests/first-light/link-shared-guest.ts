import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";

const SHARED_DIRECTORY = process.env["WRENN_TEST_GUEST_DIR"] ?? "/var/lib/wrenn-test";

/** Makes a state directory use the guest, the golden snapshots and the unpacked kernels that all tests share. */
export async function linkSharedGuest(directory: string): Promise<void> {
  for (const shared of ["guest", "golden", "kernels"]) {
    await mkdir(join(SHARED_DIRECTORY, shared), { recursive: true, mode: 0o711 });
    await symlink(join(SHARED_DIRECTORY, shared), join(directory, shared));
  }
}
