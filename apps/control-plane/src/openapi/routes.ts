/**
 * GET /openapi.json, /openapi.yaml and the reference at /docs: Swagger UI, from this server alone. The
 * content security policy lets it load nothing from, and send nothing to, anywhere else.
 */
import { createRequire } from "node:module";
import { dirname } from "node:path";
import fastifyStatic from "@fastify/static";
import type { FastifyPluginAsync } from "fastify";
import { stringify } from "yaml";
import { buildDocument } from "./document.ts";
import type { DocumentedRoute } from "./registry.ts";

const SWAGGER_UI = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
const ASSETS = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"] as const;

/** Swagger UI sets styles on elements and has images of its own in its style sheet. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Wrenn API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="reference"></div>
<noscript>The reference needs JavaScript; <a href="/openapi.yaml">the document</a> does not.</noscript>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`;

const START = `SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: true,
  displayRequestDuration: true,
  docExpansion: "list",
  tryItOutEnabled: true,
});
`;

export const openapiRoutes: FastifyPluginAsync<{ routes: readonly DocumentedRoute[]; version: string }> = async (
  app,
  { routes, version },
) => {
  const texts = memoized(() => {
    const document = buildDocument(routes, version);
    return { json: JSON.stringify(document), yaml: toYaml(document) };
  });
  app.get("/openapi.json", (_request, reply) => reply.type("application/json; charset=utf-8").send(texts().json));
  app.get("/openapi.yaml", (_request, reply) => reply.type("application/yaml; charset=utf-8").send(texts().yaml));

  await app.register(fastifyStatic, { root: SWAGGER_UI, serve: false });
  app.addHook("onRequest", async (_request, reply) => {
    reply.headers({ "content-security-policy": POLICY, "x-content-type-options": "nosniff" });
  });
  app.get("/docs", (_request, reply) => reply.type("text/html; charset=utf-8").send(PAGE));
  app.get("/docs/start.js", (_request, reply) => reply.type("text/javascript; charset=utf-8").send(START));
  for (const name of ASSETS) app.get(`/docs/${name}`, (_request, reply) => reply.sendFile(name));
};

/** As it is committed: docs/reference/openapi.yaml. */
function toYaml(document: object): string {
  return stringify(document, { lineWidth: 0, aliasDuplicateObjects: false });
}

function memoized<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
