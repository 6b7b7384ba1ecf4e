/**
 * The console at /test: the files that `vite build` made of apps/console. Its content security policy
 * keeps it to this server.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import fastifyStatic from "@fastify/static";
import type { FastifyPluginAsync } from "fastify";
import { WrennError } from "@wrenn/errors";

const DIST = join(import.meta.dirname, "../../../console/dist");

/** The terminal and the charts set styles on elements. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

export const consoleRoutes: FastifyPluginAsync = async (app) => {
  app.addHook("onRequest", async (_request, reply) => {
    reply.headers({
      "content-security-policy": POLICY,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
    });
  });
  app.get("/test", async (_request, reply) => reply.redirect("/test/"));
  // Asked for each time: `wrenn up` builds the console also beside a platform that a `wrenn run` has started.
  app.addHook("onRequest", async () => {
    if (existsSync(join(DIST, "index.html"))) return;
    throw new WrennError("unavailable", "Cannot show the console: it is not built", {
      hint: "Start the platform with ./wrenn up, which builds it",
    });
  });
  await app.register(fastifyStatic, {
    root: DIST,
    prefix: "/test/",
    cacheControl: false,
    // names of assets change with their content; the page itself is asked for every time
    setHeaders: (reply, path) => {
      reply.header("cache-control", path.includes("/assets/") ? "public, max-age=31536000, immutable" : "no-cache");
    },
  });
};
