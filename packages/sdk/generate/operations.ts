/** The API's document as TypeScript: a type of every schema, and of every operation what it takes and answers. */
import { ERROR_CATALOGUE } from "@wrenn/errors";
import { comment, propertyName, typeOf, type Schema } from "./types.ts";

const JSON_TYPE = "application/json";

interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  required?: boolean;
  description?: string;
  schema: Schema;
}
interface Body {
  required?: boolean;
  content: Record<string, { schema?: Schema }>;
}
interface Described {
  operationId: string;
  summary: string;
  parameters?: Parameter[];
  requestBody?: Body;
  responses: Record<string, { content?: Record<string, { schema?: Schema }> }>;
}
export interface Document {
  paths: Record<string, Record<string, Described>>;
  components: { schemas: Record<string, Schema> };
}

/** The whole text of src/generated.ts. */
export function generate(document: Document): string {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => ({ ...described, method: method.toUpperCase(), path })),
  );
  return [
    "// Made from docs/reference/openapi.yaml: node packages/sdk/generate/main.ts\n",
    `/** Every code that an error of the API may have. */\nexport type ErrorCode =\n${Object.keys(ERROR_CATALOGUE)
      .map((code) => `  | "${code}"`)
      .join("\n")};\n`,
    `/** A body that is not JSON. A stream needs a runtime that can send one (not Safari). */\nexport type RequestBody = string | Uint8Array<ArrayBuffer> | ArrayBuffer | Blob | FormData | ReadableStream<Uint8Array>;\n`,
    ...Object.entries(document.components.schemas)
      .filter(([name]) => name !== "Error")
      .map(([name, schema]) => `${comment(schema.description, "")}export type ${name} = ${typeOf(schema)};\n`),
    `/** What every operation takes and answers, by its id. */\nexport interface Operations {\n${operations.map(operationType).join("\n")}\n}\n`,
    `/** How every operation is asked for. */\nexport const OPERATIONS = {\n${operations.map(operationEntry).join("\n")}\n} as const satisfies Record<keyof Operations, { method: string; path: string; content?: string }>;\n`,
  ].join("\n");
}

function operationType({ operationId, summary, parameters = [], requestBody, responses }: Described): string {
  const parts = (["path", "query", "header"] as const).flatMap((place) => {
    const these = parameters.filter((one) => one.in === place);
    if (these.length === 0) return [];
    const optional = these.every(({ required }) => required !== true) ? "?" : "";
    const lines = these.map(
      ({ name, required, description, schema }) =>
        `${comment(description, "        ")}        ${propertyName(name)}${required === true ? "" : "?"}: ${typeOf(schema, "        ")};`,
    );
    return [`      ${place === "header" ? "headers" : place}${optional}: {\n${lines.join("\n")}\n      };`];
  });
  if (requestBody !== undefined) {
    const optional = requestBody.required === true ? "" : "?";
    parts.push(`      body${optional}: ${bodyType(requestBody)};`);
  }
  const input = parts.length === 0 ? "Record<never, never>" : `{\n${parts.join("\n")}\n    }`;
  return `  /** ${summary}. */\n  ${operationId}: {\n    input: ${input};\n    answer: ${answerType(responses)};\n  };`;
}

function bodyType({ content }: Body): string {
  const json = content[JSON_TYPE]?.schema;
  return json === undefined ? "RequestBody" : typeOf(json, "      ");
}

function answerType(responses: Described["responses"]): string {
  const contents = Object.entries(responses)
    .filter(([status]) => status.startsWith("2"))
    .map(([, { content }]) => content);
  const types = contents.map((content) => {
    if (content === undefined) return "undefined";
    const json = content[JSON_TYPE];
    return json === undefined ? "Response" : typeOf(json.schema ?? {}, "    ");
  });
  return types.length === 0 ? "undefined" : [...new Set(types)].join(" | ");
}

function operationEntry({ operationId, method, path, requestBody }: Described & { method: string; path: string }) {
  const type = Object.keys(requestBody?.content ?? {})[0];
  const content = type === undefined || type === JSON_TYPE ? "" : `, content: "${type}"`;
  return `  ${operationId}: { method: "${method}", path: "${path}"${content} },`;
}
