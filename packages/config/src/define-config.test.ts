import { Type } from "typebox";
import { describe, expect, it } from "vitest";
import { defineConfig } from "./index.ts";

const config = defineConfig({
  WRENN_PORT: Type.Integer({ default: 7780, minimum: 1, maximum: 65535 }),
  WRENN_DIR: Type.String({ default: "/var/lib/wrenn" }),
  DATABASE_URL: Type.Optional(Type.String()),
});

describe("defineConfig", () => {
  it("converts and defaults values", () => {
    expect(config.parse({ WRENN_PORT: "80", PATH: "/bin" })).toEqual({ WRENN_PORT: 80, WRENN_DIR: "/var/lib/wrenn" });
  });

  it("takes an empty variable as unset", () => {
    expect(config.parse({ WRENN_PORT: "" }).WRENN_PORT).toBe(7780);
  });

  it("names a wrong variable", () => {
    expect(() => config.parse({ WRENN_PORT: "seven" })).toThrow(/WRENN_PORT/);
  });
});
