/**
 * Joins each route's schemas with what is said about it. A route of the native API without a description,
 * or a description without a route, keeps the server from starting.
 */
import type { FastifyInstance, RouteOptions } from "fastify";
import type { TSchema } from "typebox";
import type { Operation, Operations } from "./operation.ts";

/** The schemas that a route validates and serializes with. */
export interface RouteSchemas {
  params?: TSchema;
  querystring?: TSchema;
  headers?: TSchema;
  body?: TSchema;
  response?: Record<number, TSchema>;
}

export interface DocumentedRoute {
  method: string;
  /** As Fastify knows it: `/v1/sandboxes/:id`. */
  path: string;
  schemas: RouteSchemas;
  operation: Operation;
}

/** To be called before any route is registered. */
export function documentRoutes(app: FastifyInstance, operations: Operations): DocumentedRoute[] {
  const routes: DocumentedRoute[] = [];
  app.addHook("onRoute", (route) => {
    for (const method of [route.method].flat()) {
      if (method === "HEAD" || method === "OPTIONS" || !isNativeApi(route.url)) continue;
      routes.push(join(method, route, operations));
    }
  });
  app.addHook("onReady", async () => {
    const known = new Set(routes.map(({ method, path }) => `${method} ${path}`));
    const dead = Object.keys(operations).filter((key) => !known.has(key));
    if (dead.length > 0) throw new TypeError(`Cannot document ${dead.join(", ")}: there is no such route`);
  });
  return routes;
}

/** Pages and the protocols of others are not part of it. */
function isNativeApi(path: string): boolean {
  return path.startsWith("/v1/") || path === "/health" || path === "/ready";
}

function join(method: string, { url, schema = {} }: RouteOptions, operations: Operations): DocumentedRoute {
  const operation = operations[`${method} ${url}`];
  if (operation === undefined) {
    throw new TypeError(
      `Cannot register ${method} ${url}: it is not documented; describe it in its folder's operations.ts (openapi/operations.ts lists them)`,
    );
  }
  return { method, path: url, schemas: schema as RouteSchemas, operation };
}
