/** The OpenAPI 3.1 document of the routes that are registered. */
import type { TSchema } from "typebox";
import { API_KEY_HEADER, ErrorResponse } from "@wrenn/api-schema";
import { ERROR_CATALOGUE, type ErrorCode } from "@wrenn/errors";
import { ACCESS, type Access } from "../auth/access.ts";
import { Components } from "./components.ts";
import { TAGS, type Answer, type Operation } from "./operation.ts";
import type { DocumentedRoute } from "./registry.ts";

const JSON_TYPE = "application/json";
/** What any route may answer. */
const ALWAYS: readonly ErrorCode[] = ["invalid_request", "too_large", "internal", "unavailable"];
/** What a route may answer that asks the host agent or a guest. */
const OF_HOST: readonly ErrorCode[] = [
  "agent_unavailable",
  "sandbox_unreachable",
  "timeout",
  "capacity",
  "storage_full",
];

export function buildDocument(routes: readonly DocumentedRoute[], version: string): Record<string, unknown> {
  const components = new Components();
  components.add(ErrorResponse);
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = route.path.replaceAll(/:(\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: describe(route, components) };
  }
  const used = new Set(routes.map(({ operation }) => operation.tag));
  return {
    openapi: "3.1.0",
    info: {
      title: "Wrenn",
      version,
      summary: "Sandboxes that are virtual machines",
      description:
        "Errors have one shape and a closed list of codes. Times are RFC 3339 in UTC, sizes named `_mb` are MiB. Give `X-Request-Id` to find your requests in the server's log.",
      license: { name: "Apache-2.0" }, // Swagger UI makes a link to elsewhere of an identifier
    },
    servers: [{ url: "/" }],
    tags: Object.entries(TAGS)
      .filter(([name]) => used.has(name as keyof typeof TAGS))
      .map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: sorted(components.schemas),
      responses: sorted(components.responses),
      securitySchemes: {
        apiKey: {
          type: "apiKey",
          in: "header",
          name: API_KEY_HEADER,
          description: "The team's key: `./wrenn env` prints it.",
        },
        session: {
          type: "http",
          scheme: "bearer",
          description: "The token of a person who logged in.",
        },
      },
    },
  };
}

/** What a route takes as proof of who asks, one of them. */
const SECURITY = {
  anyone: [],
  person: [{ session: [] }],
  either: [{ apiKey: [] }, { session: [] }],
} as const;

/** What of the caller a route asks for. */
function needs({ scope, role }: Access): string | undefined {
  if (scope === undefined) return undefined;
  return `Needs the scope \`${scope}\`${role === undefined ? "" : ` and the role \`${role}\``}.`;
}

function sorted<T>(record: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function describe(
  { method, path, schemas, operation }: DocumentedRoute,
  components: Components,
): Record<string, unknown> {
  const { id, tag, summary, request, answers } = operation;
  const access = operation.open === true ? { by: "anyone" as const } : (ACCESS[`${method} ${path}`] ?? {});
  const description = [operation.description, needs(access)].filter((text) => text !== undefined).join("\n\n");
  const parameters = [
    ...parametersOf("path", schemas.params, request?.params, components),
    ...parametersOf("query", schemas.querystring, request?.query, components),
    ...parametersOf("header", schemas.headers, request?.headers, components),
  ];
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === "" ? {} : { description }),
    security: SECURITY[access.by ?? "either"],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...bodyOf(schemas.body, request, components),
    responses: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, answer]) => [
          status,
          answerOf(answer, schemas.response?.[Number(status)], components),
        ]),
      ),
      ...errorsOf(path, operation, access, schemas, components),
    },
  };
}

function parametersOf(
  place: "path" | "query" | "header",
  schema: TSchema | undefined,
  examples: Record<string, unknown> = {},
  components: Components,
): Record<string, unknown>[] {
  const { properties = {}, required = [] } = (schema ?? {}) as {
    properties?: Record<string, TSchema>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, property]) => {
    const converted = components.add(property) as Record<string, unknown>;
    const { description, ...rest } = converted;
    return {
      name,
      in: place,
      required: place === "path" || (required.includes(name) && !("default" in converted)),
      ...(description === undefined ? {} : { description }),
      schema: rest,
      ...(examples[name] === undefined ? {} : { example: examples[name] }),
    };
  });
}

function bodyOf(
  schema: TSchema | undefined,
  request: Operation["request"],
  components: Components,
): Record<string, unknown> {
  const type = request?.contentType ?? JSON_TYPE;
  if (schema === undefined && request?.body === undefined) return {};
  const reference = schema === undefined ? undefined : components.add(schema);
  const required = reference === undefined ? [] : withoutDefaults(components.resolve(reference));
  const content = {
    ...(reference === undefined ? {} : { schema: reference }),
    ...(request?.body === undefined ? {} : { example: request.body }),
  };
  return { requestBody: { required: required.length > 0, content: { [type]: content } } };
}

/**
 * A property with a default may be left out by a client, whatever the server's own type says.
 * @returns what is still required
 */
function withoutDefaults(schema: { required?: string[]; properties?: Record<string, object> }): string[] {
  const required = (schema.required ?? []).filter((name) => !("default" in (schema.properties?.[name] ?? {})));
  if (required.length > 0) schema.required = required;
  else delete schema.required;
  return required;
}

function answerOf(answer: Answer, schema: TSchema | undefined, components: Components): Record<string, unknown> {
  const { description, example, headers = {}, contentType = JSON_TYPE } = answer;
  const content = {
    ...(schema === undefined ? {} : { schema: components.add(schema) }),
    ...(example === undefined ? {} : { example }),
  };
  const hasBody = schema !== undefined || answer.contentType !== undefined;
  return {
    description,
    ...(Object.keys(headers).length === 0
      ? {}
      : {
          headers: Object.fromEntries(
            Object.entries(headers).map(([name, text]) => [name, { description: text, schema: { type: "string" } }]),
          ),
        }),
    ...(hasBody ? { content: { [contentType]: content } } : {}),
  };
}

/** Errors by their status: those of the operation, and those that its kind implies. */
function errorsOf(
  path: string,
  { errors = [], usesHost, answers }: Operation,
  access: Access,
  { response }: DocumentedRoute["schemas"],
  components: Components,
): Record<string, unknown> {
  const codes = new Set<ErrorCode>([
    ...ALWAYS,
    ...(access.by === "anyone" ? [] : (["unauthorized"] as const)),
    ...(access.by === "person" || access.scope !== undefined ? (["forbidden"] as const) : []),
    ...(path.includes(":") ? (["not_found"] as const) : []),
    ...(usesHost === true ? OF_HOST : []),
    ...errors,
  ]);
  const byStatus = Map.groupBy(codes, (code) => ERROR_CATALOGUE[code].status);
  return Object.fromEntries(
    [...byStatus]
      .filter(([status]) => !(status in answers))
      .map(([status, these]) => {
        const own = response?.[status];
        if (own !== undefined) return [status, errorAnswer(these, components.add(own))];
        const name = these.toSorted().join("-");
        components.responses[name] ??= errorAnswer(these.toSorted(), components.add(ErrorResponse));
        return [status, { $ref: `#/components/responses/${name}` }];
      }),
  );
}

function errorAnswer(codes: readonly ErrorCode[], schema: unknown): object {
  return {
    description: codes.map((code) => `\`${code}\`: ${ERROR_CATALOGUE[code].meaning}`).join(" "),
    content: {
      [JSON_TYPE]: {
        schema,
        examples: Object.fromEntries(
          codes.map((code) => [
            code,
            { value: { error: { code, message: ERROR_CATALOGUE[code].meaning, request_id: "req_example" } } },
          ]),
        ),
      },
    },
  };
}
