/** JSON Schema, as far as the API's document uses it, as TypeScript types. */
export interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  items?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  description?: string;
  default?: unknown;
}

/** The type's text; objects go over several lines. */
export function typeOf(schema: Schema, indent = ""): string {
  if (schema.$ref !== undefined) return schema.$ref.split("/").at(-1) ?? "unknown";
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const union = schema.anyOf ?? schema.oneOf;
  if (union !== undefined) return union.map((one) => typeOf(one, indent)).join(" | ");
  if (schema.allOf !== undefined) return schema.allOf.map((one) => `(${typeOf(one, indent)})`).join(" & ");
  if (Array.isArray(schema.type)) return schema.type.map((type) => typeOf({ ...schema, type }, indent)).join(" | ");
  switch (schema.type) {
    case "string":
    case "boolean":
    case "null":
      return schema.type;
    case "number":
    case "integer":
      return "number";
    case "array":
      return arrayOf(typeOf(schema.items ?? {}, indent));
    case "object":
      return objectOf(schema, indent);
    default:
      return "unknown";
  }
}

function arrayOf(item: string): string {
  return / [|&] /.test(item) ? `(${item})[]` : `${item}[]`;
}

function objectOf({ properties = {}, required = [], additionalProperties }: Schema, indent: string): string {
  const inner = `${indent}  `;
  const lines = Object.entries(properties).map(([name, property]) => {
    const optional = required.includes(name) ? "" : "?";
    return `${comment(property.description, inner)}${inner}${propertyName(name)}${optional}: ${typeOf(property, inner)};`;
  });
  if (typeof additionalProperties === "object") {
    const values = typeOf(additionalProperties, inner);
    return lines.length === 0
      ? `Record<string, ${values}>`
      : `{\n${lines.join("\n")}\n${inner}[name: string]: unknown;\n${indent}}`;
  }
  return lines.length === 0 ? "Record<string, unknown>" : `{\n${lines.join("\n")}\n${indent}}`;
}

/** A line of documentation above a member, with its line break. */
export function comment(text: string | undefined, indent: string): string {
  return text === undefined ? "" : `${indent}/** ${text.replaceAll("*/", "*\\/").replaceAll("\n", " ")} */\n`;
}

export function propertyName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}
