import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { generate, type Document } from "./operations.ts";
import { typeOf } from "./types.ts";

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");

describe("the generated part of the SDK", () => {
  it("is up to date; else: node packages/sdk/generate/main.ts", () => {
    expect(read("../src/generated.ts")).toBe(generate(parse(read("../../../docs/reference/openapi.yaml")) as Document));
  });
});

describe("typeOf()", () => {
  it.each([
    [{ type: "array", items: { enum: ["a", "b"] } }, '("a" | "b")[]'],
    [{ type: ["string", "null"] }, "string | null"],
    [{ type: "object", additionalProperties: { type: "integer" } }, "Record<string, number>"],
    [{ type: "object", properties: { "a-b": { const: 1 } }, required: ["a-b"] }, '{\n  "a-b": 1;\n}'],
    [{ anyOf: [{ $ref: "#/components/schemas/Thing" }, { type: "null" }] }, "Thing | null"],
    [{}, "unknown"],
  ])("%j", (schema, text) => {
    expect(typeOf(schema)).toBe(text);
  });
});
