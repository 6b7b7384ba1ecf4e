import { describe, expect, it } from "vitest";
import { printable } from "./sandbox-directory.ts";
import { scrub, withoutSecrets } from "./scrub.ts";

describe("scrub", () => {
  it("removes a secret wherever it is, also where JSON escaped it, and a longer one whole", () => {
    const secrets = ["s3cret-value", "s3cret-value-longer", 'with "quotes"'];
    const text = `a s3cret-value-longer b s3cret-value ${JSON.stringify({ env: 'with "quotes"' })}`;
    expect(scrub(text, secrets)).toBe('a [removed] b [removed] {"env":"[removed]"}');
  });
});

describe("withoutSecrets", () => {
  it("keeps names of variables, never values or tokens", () => {
    const record = { id: "sb1", accessToken: "token-token", envs: { KEY: "value-value" }, state: "running" };
    expect(withoutSecrets(record)).toEqual({ id: "sb1", state: "running", envNames: ["KEY"] });
  });
});

describe("printable", () => {
  it("leaves nothing that a terminal interprets", () => {
    expect(printable(Buffer.from("a\u001b[31mred\u0007\r\nünï\tb"))).toBe("a[31mred\nünï\tb");
  });
});
