import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkedBuildId, checkedTemplateName } from "./template-name.ts";

const TRAVERSALS = [
  "",
  ".",
  "..",
  "../x",
  "a/b",
  "a\\b",
  "/etc",
  "a\0b",
  "a\nb",
  "-a",
  "_a",
  ".a",
  "A",
  "ä",
  "a b",
  "a%2f",
];

describe("names of templates", () => {
  it.each(["a", "0", "web", "python-3.12_x", "a".repeat(64)])("takes %s", (name) => {
    expect(checkedTemplateName(name)).toBe(name);
  });

  it.each([...TRAVERSALS, "a".repeat(65), "web\n"])("refuses %j", (name) => {
    expect(() => checkedTemplateName(name)).toThrow("Cannot use the template name");
  });

  it("lets nothing through that is not one plain word", { timeout: 30_000 }, () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 80 }), (name) => {
        let taken: string | undefined;
        try {
          taken = checkedTemplateName(name);
        } catch {
          return;
        }
        expect(taken).toMatch(/^[a-z0-9][a-z0-9._-]*$/);
        expect(taken.length).toBeLessThanOrEqual(64);
      }),
    );
  });
});

describe("ids of builds", () => {
  it("takes its own form only", () => {
    const id = `bld_${"0z".repeat(10)}`;
    expect(checkedBuildId(id)).toBe(id);
    for (const wrong of [...TRAVERSALS, `${id}/..`, `${id}\n`, id.toUpperCase(), `x${id}`, "bld_"])
      expect(() => checkedBuildId(wrong)).toThrow("Cannot use build id");
  });
});
