import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { COMMANDS } from "../commands/index.ts";
import { isGroup } from "../define-command.ts";
import { hintForCommandLine, messageForCommandLine } from "./hint.ts";

const CONTROL_PLANE = join(import.meta.dirname, "../../../control-plane/src");
const TEXT = /"([^"\n]+)"|'([^'\n]+)'|`([^`\n]+)`/g;
/** A hint may be one of two, and begin on the next line. */
const LINES_OF_A_HINT = 3;
/** Of what no command does: the WebSockets' own frames, webhooks, the list of invitations, the guide. */
const OF_NO_COMMAND = [
  /^docs\/reference\/api\.md describes every frame$/,
  /^Connect /,
  /^Give a longer timeout_sec, or follow it over exec\/stream$/,
  /^Give timeout_sec, end_in_sec, or both$/,
  /stdin/,
  /^GET \/v1\/webhooks /,
  /^GET \/guide /,
  /^GET \/v1\/teams\/[^/]+\/invitations /,
];

/** Every hint in the control plane's sources (and what stands close to one), with `team_1` for what is filled in. */
function hintsOfTheApi(): string[] {
  const files = globSync("**/*.ts", { cwd: CONTROL_PLANE }).filter((file) => !file.includes(".test."));
  const hints = files.flatMap((file) => {
    const source = readFileSync(join(CONTROL_PLANE, file), "utf8");
    return [...source.matchAll(/\bhint(?::| =)/g)].flatMap(({ index }) => {
      const near = source.slice(index).split("\n", LINES_OF_A_HINT).join("\n");
      return [...near.matchAll(TEXT)].map(([, ...texts]) => texts.find((text) => text !== undefined) ?? "");
    });
  });
  return [
    ...new Set(hints.filter((hint) => hint.includes(" ")).map((hint) => hint.replaceAll(/\$\{[^}]*\}/g, "team_1"))),
  ];
}

const commands = new Set(
  COMMANDS.flatMap((entry) =>
    isGroup(entry) ? entry.commands.map(({ name }) => `${entry.name} ${name}`) : [entry.name],
  ),
);

describe("hintForCommandLine()", () => {
  const hints = hintsOfTheApi();

  it("sees the hints of the API", () => {
    expect(hints.length).toBeGreaterThan(60);
    expect(hints).toContain("GET /v1/teams/team_1/members lists its members");
    expect(hints).toContain("The key of the first start has it");
    expect(hints).toContain("Use a key that has it, or log in");
  });

  it.each(hints.filter((hint) => !OF_NO_COMMAND.some((other) => other.test(hint))))("%s", (hint) => {
    const told = hintForCommandLine(hint);
    expect(told).not.toMatch(/\/v1\/|\b(?:GET|POST|PUT|PATCH|DELETE) |\?\w+=|\b[a-z]+_(?:mb|sec|timeout)\b/);
    for (const [, words = ""] of told.matchAll(/\bwrenn ((?:(?:sandbox|template|snapshot|key|team) )?[a-z]+)/g))
      expect(commands).toContain(words);
  });

  it("names commands and options", () => {
    expect(hintForCommandLine("GET /v1/teams/team_1/members lists its members")).toBe(
      "wrenn team members lists its members",
    );
    expect(hintForCommandLine("Log in with POST /v1/auth/login")).toBe("Log in with wrenn login");
    expect(hintForCommandLine("Use 4096 or more, or leave disk_mb out")).toBe("Use 4096 or more, or leave --disk out");
    expect(hintForCommandLine("Look at its status, then repeat")).toBe("Look at its status, then repeat");
  });
});

describe("messageForCommandLine()", () => {
  it("names the option of a field", () => {
    expect(messageForCommandLine("Cannot use vcpus in the body: it must be <= 8, not 9")).toBe(
      "Cannot use --vcpus: it must be <= 8, not 9",
    );
    expect(messageForCommandLine("Cannot use memory_mb in the body: it must be >= 128, not 1")).toBe(
      "Cannot use --memory (MiB): it must be >= 128, not 1",
    );
    expect(messageForCommandLine("Cannot use envs.A in the body: it must match pattern")).toBe(
      "Cannot use A of --env: it must match pattern",
    );
    expect(messageForCommandLine("Cannot find template x")).toBe("Cannot find template x");
  });
});
