import { defineCommand } from "../define-command.ts";
import type { Finding, FindingStatus } from "../doctor/finding.ts";
import { EXIT } from "../exit-code.ts";
import type { Output } from "../terminal/output.ts";

const MARKS = {
  ok: ["green", "ok"],
  limited: ["yellow", "limited"],
  missing: ["red", "missing"],
} as const satisfies Record<FindingStatus, readonly [string, string]>;
const MARK_WIDTH = "limited".length;

export const doctorCommand = defineCommand<{ production?: boolean }>({
  name: "doctor",
  summary: "Check what this machine offers and lacks",
  description: [
    "Looks at every requirement: what was found, what follows, and what to do. Exit code 1 when something required is missing.",
  ],
  options: [{ flags: "--production", description: "also what a machine that serves others should have" }],
  examples: [
    ["wrenn doctor", "before the first start, or when something fails"],
    ["wrenn doctor --json | jq '.findings[] | select(.status != \"ok\")'", "what is not as it should be, in a script"],
  ],
  async run({ config, output, signal }, _args, options) {
    const { examine } = await import("../doctor/checks.ts");
    const findings = await examine(config, signal, options);
    const missing = findings.filter(({ status }) => status === "missing").length;
    output.result({ ok: missing === 0, findings }, () =>
      [...findings.map((finding) => render(output, finding, nameWidth(findings))), "", summary(missing)].join("\n"),
    );
    return missing === 0 ? EXIT.done : EXIT.failed;
  },
});

function nameWidth(findings: readonly Finding[]): number {
  return Math.max(...findings.map(({ name }) => name.length));
}

function render(output: Output, { name, status, found, consequence, hint }: Finding, width: number): string {
  const [style, mark] = MARKS[status];
  const indent = " ".repeat(MARK_WIDTH + width + 4);
  const lines = [`${output.style(style, mark.padEnd(MARK_WIDTH))}  ${name.padEnd(width)}  ${found}`];
  if (consequence !== undefined) lines.push(`${indent}${consequence}`);
  if (hint !== undefined) lines.push(`${indent}${output.style("cyan", hint)}`);
  return lines.join("\n");
}

function summary(missing: number): string {
  if (missing === 0) return "This machine can run Wrenn.";
  return `${missing} ${missing === 1 ? "requirement is" : "requirements are"} missing.`;
}
