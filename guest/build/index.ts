export { guestManifestPath, readGuestManifest, type GuestManifest, type GuestTemplate } from "./manifest.ts";
