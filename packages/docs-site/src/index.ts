export { checkSite } from "./check.ts";
export { readSite, type SitePage } from "./site.ts";
