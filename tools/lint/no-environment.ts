/**
 * The environment is read once, at start, by the one configuration of an app (src/config.ts), and passed
 * in. An entry (main.ts, supervise.ts) may hand it over.
 */
import { defineRule, isTest, pathInRepository } from "./rule.ts";

/** Failpoints work wherever they are armed; tools and examples are not part of the product. */
const ALLOWED = /(?:^|\/)(?:config|main)\.ts$|^packages\/effects\/src\/failpoint\.ts$|^(?:tools|examples)\//;

export const noEnvironment = defineRule({
  meta: { type: "problem", docs: { description: "process.env only in config.ts and main.ts" } },
  create(context) {
    const path = pathInRepository(context.filename);
    if (ALLOWED.test(path) || isTest(path)) return {};
    const message = "Cannot read process.env here: declare the variable in the app's src/config.ts";
    return {
      VariableDeclarator(node) {
        if (node.init?.type !== "Identifier" || node.init.name !== "process" || node.id.type !== "ObjectPattern")
          return;
        const taken = node.id.properties.some(
          (one) => one.type === "Property" && one.key.type === "Identifier" && one.key.name === "env",
        );
        if (taken) context.report({ node, message });
      },
      MemberExpression(node) {
        if (node.object.type !== "Identifier" || node.object.name !== "process") return;
        if (node.property.type !== "Identifier" || node.property.name !== "env") return;
        context.report({ node, message });
      },
      ImportDeclaration(node) {
        if (node.source.value.replace(/^node:/, "") !== "process") return;
        context.report({ node, message: "Cannot import process: use the global, so that process.env can be found" });
      },
    };
  },
});
