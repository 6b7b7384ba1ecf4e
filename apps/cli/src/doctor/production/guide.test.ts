import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { SYSCTLS } from "./kernel-settings.ts";
import { UNIT_LINES } from "./service.ts";

const GUIDE = readFileSync(join(import.meta.dirname, "../../../../../docs/guides/production.md"), "utf8");

it("looks at every kernel setting of the guide, for the value that it names", () => {
  const rows = [...GUIDE.matchAll(/^\| `([a-z_.]+)` \| (\d+) \| (.+) \|$/gm)].map(([, name, value, why]) => ({
    name,
    value: Number(value),
    why,
  }));
  expect(rows.length).toBeGreaterThan(0);
  expect(SYSCTLS.map(({ name, value, why }) => ({ name, value, why }))).toEqual(rows);
});

it("looks for lines that every unit of the guide has whose processes are VMs' parents", () => {
  const units = [...GUIDE.matchAll(/^# (\/etc\/systemd\/system\/\S+)\n([\s\S]*?)^```$/gm)].map(
    ([, path, text = ""]) => ({
      path,
      text,
    }),
  );
  expect(units.map(({ path }) => path)).toEqual(
    ["wrenn", "wrenn-host-agent", "wrenn-control-plane"].map((name) => `/etc/systemd/system/${name}.service`),
  );
  for (const { text } of units.slice(0, 2)) for (const { line } of UNIT_LINES) expect(text.split("\n")).toContain(line);
});
