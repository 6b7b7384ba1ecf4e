import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { discoverResolvers, usableResolvers } from "./resolvers.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "wrenn-resolvers-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

async function discover(resolvConf: string | undefined, upstreams?: string) {
  const paths = { resolvConf: join(directory, "resolv.conf"), upstreams: join(directory, "upstreams") };
  if (resolvConf !== undefined) writeFileSync(paths.resolvConf, resolvConf);
  if (upstreams !== undefined) writeFileSync(paths.upstreams, upstreams);
  return discoverResolvers(paths);
}

describe("discoverResolvers()", () => {
  it("takes those of resolv.conf in their order", async () => {
    const found = await discover(
      "# mine\nsearch example.test\nnameserver 10.0.0.53\n  nameserver\t192.0.2.53 \n;nameserver 1.2.3.4\n",
    );
    expect(found).toEqual({ resolvers: ["10.0.0.53", "192.0.2.53"], source: join(directory, "resolv.conf") });
  });

  it("asks those behind systemd-resolved's stub, and says why", async () => {
    const found = await discover("nameserver 127.0.0.53\n", "nameserver 10.0.0.53\nnameserver fe80::1\n");
    expect(found).toEqual({
      resolvers: ["10.0.0.53"],
      source: join(directory, "upstreams"),
      reason: `${join(directory, "resolv.conf")} names only 127.0.0.53, which guests cannot reach`,
    });
  });

  it("says what to do when there is none", async () => {
    expect((await discover("nameserver ::1\nnameserver 127.0.0.1\n")).reason).toMatch(
      /^No usable resolver: .* names only ::1, 127\.0\.0\.1, which guests cannot reach; set WRENN_DNS$/,
    );
    expect((await discover("")).resolvers).toEqual([]);
  });

  it("copes with a missing resolv.conf", async () => {
    expect((await discover(undefined)).reason).toContain("names no resolver");
  });
});

describe("usableResolvers()", () => {
  it("keeps three at most", () => {
    expect(
      usableResolvers(["10.0.0.1", "nonsense", "127.0.0.1", "0.0.0.0", "10.0.0.2", "10.0.0.3", "10.0.0.4"]),
    ).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
  });
});
