/** Schemas with an `$id` become components of the document, and references where they are used. */
import type { TSchema } from "typebox";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export class Components {
  readonly schemas: Record<string, Json> = {};
  /** Answers that several operations have in common. */
  readonly responses: Record<string, object> = {};

  /** The schema as plain JSON Schema 2020-12, with named parts taken out. */
  add(schema: TSchema): Json {
    return this.#convert(JSON.parse(JSON.stringify(schema)) as Json);
  }

  /** What a reference that `add` returned stands for. */
  resolve(schema: Json): object {
    const { $ref } = schema as { $ref?: string };
    return ($ref === undefined ? schema : this.schemas[$ref.split("/").at(-1) ?? ""]) as object;
  }

  #convert(value: Json): Json {
    if (Array.isArray(value)) return value.map((item) => this.#convert(item));
    if (typeof value !== "object" || value === null) return value;
    const { $id, ...rest } = value;
    const converted = Object.fromEntries(Object.entries(rest).map(([key, inner]) => [key, this.#convert(inner)]));
    if (typeof $id !== "string") return withMapAsProperties(converted);
    this.schemas[$id] = withMapAsProperties(converted);
    return { $ref: `#/components/schemas/${$id}` };
  }
}

/** A map of any keys is more widely understood as `additionalProperties`. */
function withMapAsProperties(schema: { [key: string]: Json }): { [key: string]: Json } {
  const { patternProperties, ...rest } = schema;
  if (typeof patternProperties !== "object" || patternProperties === null || Array.isArray(patternProperties)) {
    return schema;
  }
  const [[pattern, values] = [], ...others] = Object.entries(patternProperties);
  if (pattern !== "^.*$" || values === undefined || others.length > 0) return schema;
  return { ...rest, additionalProperties: values };
}
