/** Apps import packages, never each other; packages and the guest's build never import apps. */
import { posix } from "node:path";
import { defineRule, pathInRepository } from "./rule.ts";

const APP_PACKAGES = /^@wrenn\/(?:cli|control-plane|host-agent|console)(?:\/|$)/;

export const appBoundaries = defineRule({
  meta: { type: "problem", docs: { description: "Apps do not import each other; packages do not import apps" } },
  create(context) {
    const path = pathInRepository(context.filename);
    const [kind, name] = path.split("/");
    if (kind !== "apps" && kind !== "packages" && kind !== "guest") return {};
    const check = (source: string, report: (message: string) => void): void => {
      const target = source.startsWith(".") ? posix.join(posix.dirname(path), source) : source;
      const [targetKind, targetName] = target.split("/");
      const foreign = APP_PACKAGES.test(target) || (targetKind === "apps" && (kind !== "apps" || targetName !== name));
      if (foreign) report(`Cannot import ${source} into ${kind}/${name}: share code through packages/`);
    };
    return {
      ImportDeclaration: (node) => check(node.source.value, (message) => context.report({ node, message })),
      ExportAllDeclaration: (node) => check(node.source.value, (message) => context.report({ node, message })),
      ExportNamedDeclaration(node) {
        if (node.source !== null) check(node.source.value, (message) => context.report({ node, message }));
      },
      ImportExpression(node) {
        const { source } = node;
        if (source.type === "Literal" && typeof source.value === "string") {
          check(source.value, (message) => context.report({ node, message }));
        }
      },
    };
  },
});
