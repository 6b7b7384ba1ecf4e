/** Programs are started by argv; a command line for a shell is never put together. */
import { defineRule } from "./rule.ts";

const SHELL_FUNCTIONS = new Set(["exec", "execSync"]);

export const noShell = defineRule({
  meta: { type: "problem", docs: { description: "argv only, never a shell string" } },
  create(context) {
    return {
      ImportDeclaration(node) {
        if (node.source.value.replace(/^node:/, "") !== "child_process") return;
        for (const one of node.specifiers) {
          if (one.type !== "ImportSpecifier" || one.imported.type !== "Identifier") continue;
          if (!SHELL_FUNCTIONS.has(one.imported.name)) continue;
          context.report({
            node: one,
            message: `Cannot use ${one.imported.name}: it runs a shell; give the program its argv`,
          });
        }
      },
      Property(node) {
        if (node.key.type !== "Identifier" || node.key.name !== "shell") return;
        if (node.value.type === "Literal" && node.value.value === false) return;
        if (node.value.type !== "Literal" || (node.value.value !== true && typeof node.value.value !== "string"))
          return;
        context.report({ node, message: "Cannot set shell: give the program its argv" });
      },
    };
  },
});
