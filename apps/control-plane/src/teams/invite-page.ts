/**
 * GET /invite: what the link of an invitation shows. The token is the link's fragment, which browsers do
 * not send; the page only tells how to use it.
 */
import type { FastifyPluginAsync } from "fastify";

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Invitation to a team</title>
</head>
<body>
<h1>You are invited to a team</h1>
<p>With an account: <code>wrenn team join <span class="token">TOKEN</span></code></p>
<p>Without: <code>wrenn login --sign-up EMAIL --invitation <span class="token">TOKEN</span></code></p>
<script src="/invite/token.js"></script>
</body>
</html>
`;

const SCRIPT = `const token = location.hash.slice(1);
if (token !== "") for (const place of document.querySelectorAll(".token")) place.textContent = token;
`;

const HEADERS = {
  "content-security-policy": "default-src 'none'; script-src 'self'; base-uri 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

export const invitePage: FastifyPluginAsync = async (app) => {
  app.get("/invite", (_request, reply) => reply.headers(HEADERS).type("text/html; charset=utf-8").send(PAGE));
  app.get("/invite/token.js", (_request, reply) =>
    reply.headers(HEADERS).type("text/javascript; charset=utf-8").send(SCRIPT),
  );
};
