import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { COMMANDS } from "../commands/index.ts";
import { MARKER, renderCommands } from "./commands.ts";

it("docs/reference/cli.md says what the commands' declarations say (node apps/cli/src/reference/main.ts)", () => {
  const text = readFileSync(new URL("../../../../docs/reference/cli.md", import.meta.url), "utf8");
  expect(text.split(MARKER)[1]?.trim()).toBe(renderCommands(COMMANDS).trim());
});
