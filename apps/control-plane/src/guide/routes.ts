/** The documentation at /guide, rendered from the repository's documents when it is first asked for. */
import { join } from "node:path";
import type { FastifyPluginAsync, FastifyReply } from "fastify";
import { readSite } from "@wrenn/docs-site";
import { WrennError } from "@wrenn/errors";

const REPOSITORY = join(import.meta.dirname, "../../../..");

/** Styles are part of the page; it has no scripts. */
const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export const guideRoutes: FastifyPluginAsync = async (app) => {
  let site: Promise<Map<string, string>> | undefined;
  const pages = async (): Promise<Map<string, string>> =>
    new Map((await readSite(REPOSITORY)).map(({ url, html }) => [url, html]));
  app.get("/guide/*", async (request, reply) => await show(request.url, reply));
  app.get("/guide", async (request, reply) => await show(request.url, reply));

  async function show(address: string, reply: FastifyReply) {
    const path = decodeURI(address.split("?", 1)[0] ?? "").replace(/(?:\/|\.md)$/, "");
    site ??= pages();
    site.catch(() => (site = undefined)); // read again next time
    const html = (await site).get(path);
    if (html === undefined) {
      throw new WrennError("not_found", `Cannot show ${path}: there is no such page`, {
        hint: "GET /guide lists every page",
      });
    }
    return reply.header("content-security-policy", POLICY).type("text/html; charset=utf-8").send(html);
  }
};
