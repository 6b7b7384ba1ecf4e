/** What other images of this project are built with: the testbed's kernel and initramfs. */
export { debianCodename, openDebianArchive, type DebianArchive } from "./archive.ts";
export { cpioArchive, type CpioEntry } from "./cpio.ts";
export { modulesInLoadOrder } from "./kernel-modules.ts";
export { fileDigest, recipeText } from "./recipe.ts";
export { buildStep, stepDirectory, TEMPORARY_PREFIX, type Step, type StepTools } from "./step.ts";
