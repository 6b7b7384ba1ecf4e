/** The platform beside other people's firewalls; each story in a network namespace of its own. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { expectNoLeak, type Inventory } from "../leaks/index.ts";
import type { Seen } from "./firewall-process.ts";
import { ip } from "./namespaces.ts";
import { FIRST_INDEX, PREFIX, takeNetworkInventory } from "./pool-options.ts";

const HOST = `${PREFIX}host`;
const PROGRAM = fileURLToPath(new URL("firewall-process.ts", import.meta.url));
const haveIptables = ["/usr/sbin/iptables", "/sbin/iptables"].some((path) => existsSync(path));

let before: Inventory;
let stateDirectory = "";

beforeEach(async () => {
  before = await takeNetworkInventory();
  stateDirectory = mkdtempSync(join(tmpdir(), "wrenn-network-"));
  ip([`netns add ${HOST}`]);
});

afterEach(async () => {
  ip([`netns del ${HOST}`]);
  rmSync(stateDirectory, { recursive: true });
  await expectNoLeak(before);
});

describe("beside another firewall", () => {
  it("that drops by policy, guests get out, and its rules are as before in the end", () => {
    const seen = play("nft");
    expect(seen).toMatchObject({ atFirst: true, afterwards: true, warnings: [] });
    expect(seen.rules.match(/comment "wrenn_\d+ wsim\d+"/g)).toHaveLength(2);
    expect(seen.rulesAtEnd).not.toContain("wrenn");
    expect(seen.rulesAtEnd).toContain("policy drop");
  });

  it("that ends in a reject, as firewalld does, guests get out", () => {
    const seen = play("reject");
    expect(seen).toMatchObject({ atFirst: true, afterwards: true, warnings: [] });
    expect(seen.rulesAtEnd).not.toContain("wrenn");
  });

  it.runIf(haveIptables)("that is iptables with a FORWARD policy of drop, guests get out", () => {
    const seen = play("iptables");
    expect(seen).toMatchObject({ atFirst: true, afterwards: true, warnings: [] });
    expect(seen.rules).toContain('oifname "wrn*"');
    expect(seen.rulesAtEnd).not.toContain("wrn");
    expect(seen.rulesAtEnd).toContain("policy drop");
  });

  it.runIf(haveIptables && existsSync("/proc/net/ip_tables_names"))(
    "that is the legacy iptables, guests get out",
    () => {
      const seen = play("legacy");
      expect(seen).toMatchObject({ atFirst: true, afterwards: true, warnings: [] });
      expect(seen.rules).toContain("-i wrn+ -o wsim");
      expect(seen.rulesAtEnd).toBe("-P FORWARD DROP\n");
    },
  );

  it.runIf(haveIptables)("that is started while guests run, guests go on getting out", () => {
    expect(play("docker-start")).toMatchObject({ atFirst: true, afterwards: true, warnings: [] });
  });
});

describe("when somebody takes away what guests need, it comes back", () => {
  it("the table, after a flush of the whole ruleset", () => {
    expect(play("flush")).toMatchObject({ atFirst: true, afterwards: true, rulesAtEnd: "" });
  });

  it("the forwarding of the interfaces, after somebody set the global switch", () => {
    const seen = play("sysctl");
    expect(seen).toMatchObject({ atFirst: true, afterwards: true, forwarding: "0" });
    expect(seen.warnings).toContain("turned interfaces' forwarding on again: guests need it");
  });
});

/** Plays a story on a host of its own and returns what was seen. */
function play(story: string): Seen & { forwarding: string } {
  // `ip netns exec` also shows the namespace's own interfaces in /sys
  const { stdout, stderr, status } = spawnSync(
    "ip",
    ["netns", "exec", HOST, process.execPath, PROGRAM, story, stateDirectory, String(FIRST_INDEX)],
    { encoding: "utf8", timeout: 50_000 },
  );
  if (status !== 0) throw new Error(`the story ended with ${status}: ${stderr}`);
  return JSON.parse(stdout) as Seen & { forwarding: string };
}
