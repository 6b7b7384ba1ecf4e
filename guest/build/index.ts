export { ensureGuest, type EnsureGuestOptions } from "./ensure-guest.ts";
export { guestManifestPath, readGuestManifest, type GuestManifest, type GuestTemplate } from "./manifest.ts";
export { progressFor, type GuestProgress, type ProgressStream, type ProgressUnit } from "./progress.ts";
export { GUEST_BUILD_PACKAGES, type RequiredPackage } from "./requirements.ts";
