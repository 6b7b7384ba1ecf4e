import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ERROR_CATALOGUE, WrennError } from "./index.ts";

describe("WrennError", () => {
  it("finds a platform error behind wrapped causes", () => {
    const inner = new WrennError("capacity", "Cannot create: no memory left", { hint: "Destroy one" });
    expect(WrennError.from(new Error("outer", { cause: new Error("middle", { cause: inner }) }))).toBe(inner);
  });

  it("maps a full disk, an abort and anything else", () => {
    expect(WrennError.from(Object.assign(new Error("write"), { code: "ENOSPC" })).code).toBe("storage_full");
    expect(WrennError.from(AbortSignal.abort().reason).code).toBe("canceled");
    expect(WrennError.from("boom").code).toBe("internal");
  });

  it("has words for everybody", () => {
    expect(new WrennError("capacity", "Cannot create: no memory left").publicMessage).toBe(
      "Cannot create: no memory left",
    );
    expect(new WrennError("internal", "ENOENT: /var/lib/wrenn/run/token").publicMessage).not.toContain("/var");
  });

  it("never sends the cause to a client", () => {
    const error = new WrennError("internal", "Cannot pause", { cause: new Error("secret") });
    expect(error.toBody("req_1")).toEqual({
      error: { code: "internal", message: "Cannot pause", request_id: "req_1" },
    });
  });
});

describe("ERROR_CATALOGUE", () => {
  it("is the same list as docs/reference/errors.md", () => {
    const text = readFileSync(new URL("../../../docs/reference/errors.md", import.meta.url), "utf8");
    const documented = [...text.matchAll(/^\| `([a-z_]+)` \| (\d{3}) \| (user|platform) \|/gm)].map((row) =>
      row.slice(1, 4),
    );
    const declared = Object.entries(ERROR_CATALOGUE).map(([code, { status, fault }]) => [code, String(status), fault]);
    expect(documented).toEqual(declared);
  });
});
