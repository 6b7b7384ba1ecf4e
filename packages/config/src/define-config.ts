/**
 * One configuration schema per app: a TypeBox object whose keys are environment variables, with a
 * default and a description each. It is parsed once, at start, and passed in; nothing else reads
 * `process.env`.
 */
import { Type, type Static, type TObject, type TProperties } from "typebox";
import { Value } from "typebox/value";
import { WrennError } from "@wrenn/errors";

/** A parsed-once configuration. */
export interface ConfigDefinition<T extends TObject> {
  readonly schema: T;
  /** Reads `env`; throws `invalid_request` naming every wrong variable. */
  parse(env: NodeJS.ProcessEnv): Readonly<Static<T>>;
}

/** Declares the configuration of an app. */
export function defineConfig<P extends TProperties>(properties: P): ConfigDefinition<TObject<P>> {
  const schema = Type.Object(properties);
  return {
    schema,
    parse(env) {
      const known: Record<string, unknown> = {};
      for (const key of Object.keys(properties)) {
        if (env[key] !== undefined && env[key] !== "") known[key] = env[key];
      }
      const value = Value.Convert(schema, Value.Default(schema, known));
      const errors = Value.Errors(schema, value);
      if (errors.length > 0) {
        const list = errors.map((error) => `${error.instancePath.slice(1)} ${error.message}`).join("; ");
        throw new WrennError("invalid_request", `Cannot read the configuration: ${list}`, {
          hint: "See docs/reference/configuration.md",
        });
      }
      return Object.freeze(value as Static<TObject<P>>);
    },
  };
}
