/**
 * Validation by the schemas of `@wrenn/api-schema`. Bodies are taken as they are (no "2" for 2);
 * parameters of the path and the query are text and are converted. A message names the field and what
 * is allowed.
 */
import type { FastifySchemaCompiler } from "fastify";
import type { TObject, TSchema } from "typebox";
import { Compile } from "typebox/compile";
import type { TLocalizedValidationError } from "typebox/error";
import { Value } from "typebox/value";
import { WrennError } from "@wrenn/errors";

const WHERE: Readonly<Record<string, string>> = {
  body: "the body",
  querystring: "the query",
  params: "the path",
  headers: "the headers",
};

/** Fields whose values are repeated nowhere: answers are shown on screens, and kept in logs. */
const SECRET = /password|secret|token|envs/;

/** For Fastify's `setValidatorCompiler`. */
export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart = "body" }) => {
  const validate = compileValidation(schema, { what: WHERE[httpPart] ?? httpPart, convert: httpPart !== "body" });
  return (value: unknown) => {
    try {
      return { value: validate(value) };
    } catch (error) {
      return { error: error as Error };
    }
  };
};

/** @returns a function that fills in defaults and throws `invalid_request` for a value that does not fit. */
export function compileValidation<T extends TSchema>(
  schema: T,
  options: { what: string; convert: boolean },
): (value: unknown) => unknown {
  const check = Compile(schema);
  const isAsGiven = isOfTexts(schema);
  return (value) => {
    // almost every path: nothing to convert, nothing to fill in
    if (isAsGiven && check.Check(value)) return value;
    const given = options.convert ? Value.Convert(schema, value) : value;
    // every field may have a default: no body is an empty one
    const complete = Value.Default(schema, given ?? {});
    if (check.Check(complete)) return complete;
    const [first] = check.Errors(complete);
    throw invalid(first, complete, options.what);
  };
}

/** An object of texts without defaults. */
function isOfTexts(schema: TSchema): boolean {
  const { type, properties = {}, default: whole } = schema as Partial<TObject> & { default?: unknown };
  const parts = Object.values(properties) as { type?: unknown; default?: unknown }[];
  if (type !== "object" || parts.length === 0 || whole !== undefined) return false;
  return parts.every((part) => part.type === "string" && part.default === undefined);
}

function invalid(error: TLocalizedValidationError | undefined, value: unknown, what: string): WrennError {
  if (error === undefined) return new WrennError("invalid_request", `Cannot use ${what}: it is malformed`);
  if (error.schemaPath.endsWith("/propertyNames")) return invalidName(error, what);
  const field = error.instancePath.slice(1).replaceAll("/", ".");
  const isProperty = error.keyword === "boolean"; // a property that the schema does not have
  const reason = isProperty ? "there is no such field" : `it ${allowed(error)}`;
  const subject = field === "" ? what : `${field} in ${what}`;
  const shown = isProperty || field === "" ? "" : valueAt(value, error.instancePath);
  return new WrennError("invalid_request", `Cannot use ${subject}: ${reason}${shown}`, {
    hint: "The reference at /docs describes every field",
  });
}

/** A key of a map, such as the name of a variable. */
function invalidName(error: TLocalizedValidationError, what: string): WrennError {
  const [name = "", ...parents] = error.instancePath.slice(1).split("/").reverse();
  const field = parents.reverse().join(".");
  return new WrennError(
    "invalid_request",
    `Cannot use the name ${JSON.stringify(name)} of ${field} in ${what}: it ${error.message}`,
    {
      hint: "The reference at /docs describes every field",
    },
  );
}

function allowed(error: TLocalizedValidationError): string {
  switch (error.keyword) {
    case "enum":
      return `must be one of ${(error.params as { allowedValues: unknown[] }).allowedValues.join(", ")}`;
    case "required":
      return `needs ${(error.params as { requiredProperties: string[] }).requiredProperties.join(", ")}`;
    default:
      return error.message;
  }
}

/** The offending value, if it is short enough to be shown, and no secret. */
function valueAt(value: unknown, path: string): string {
  if (SECRET.test(path)) return "";
  let found = value;
  for (const key of path.slice(1).split("/")) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, key)) return "";
    found = (found as Record<string, unknown>)[key];
  }
  const text = JSON.stringify(found);
  return text === undefined || text.length > 64 ? "" : `, not ${text}`;
}
