/** A lint rule's type, which oxlint does not export by name. */
import type { RuleTester } from "oxlint/plugins-dev";

export type Rule = Extract<Parameters<RuleTester["run"]>[1], { create: unknown }>;
export type Visitor = ReturnType<NonNullable<Rule["create"]>>;
type Node<K extends keyof Visitor> = Parameters<NonNullable<Visitor[K]>>[0];

export type ImportNode = Node<"ImportDeclaration">;

/** Gives a rule literal its types. */
export function defineRule(rule: Rule): Rule {
  return rule;
}

/** Path below the checkout, such as `apps/cli/src/main.ts`. */
export function pathInRepository(filename: string): string {
  return /(?:^|\/)((?:apps|packages|guest|tests|tools|bench|examples)\/.*)$/.exec(filename)?.[1] ?? filename;
}

/** Tests, and what only tests use. */
export function isTest(path: string): boolean {
  return /\.test\.ts$|^tests\/|\/testing\/|\/test-[\w-]+\.ts$|-contract\.ts$/.test(path);
}
