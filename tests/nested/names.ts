/** What the two sides of the testbed's wall agree on. */

/** Port inside on which the agent is reached. */
export const GUEST_PORT = 7790;
/** Files in the exchange directory. */
export const TOKEN_NAME = "agent-token";
export const IMAGE_NAME = "rootfs.qcow2";
/** The kernel as Firecracker loads it: unpacking takes half a minute inside. */
export const KERNEL_NAME = "kernel.elf";
/** The one template that the agent inside has: the smallest. */
export const TEMPLATE = "minimal";
