/**
 * Child processes, and changes of a file system that have to survive a crash or may be repeated, go
 * through @wrenn/effects: there they are argv only, flushed, and have their failpoints.
 */
import { defineRule, isTest, pathInRepository, type ImportNode } from "./rule.ts";

const PROCESS_MODULES = new Set(["child_process", "execa"]);
const FILE_MODULES = new Set(["fs", "fs/promises"]);
const FILE_EFFECTS = /^(?:rename|unlink|rm|rmdir|fsync|fdatasync)(?:Sync)?$/;

export const effectsOnly = defineRule({
  meta: { type: "problem", docs: { description: "Processes and durable file changes only through @wrenn/effects" } },
  create(context) {
    const path = pathInRepository(context.filename);
    if (path.startsWith("packages/effects/") || path.startsWith("tools/") || isTest(path)) return {};
    const namespaces = new Set<string>();
    return {
      ImportDeclaration(node) {
        const name = node.source.value.replace(/^node:/, "");
        if (node.importKind === "type") return;
        const names = importedValues(node);
        if (PROCESS_MODULES.has(name) && (names.length > 0 || node.specifiers.length === 0)) {
          context.report({ node, message: `Cannot import ${name} here: start processes with @wrenn/effects` });
        }
        if (!FILE_MODULES.has(name)) return;
        for (const { imported, local } of names) {
          if (imported === undefined) namespaces.add(local);
          else if (FILE_EFFECTS.test(imported)) {
            context.report({ node, message: `Cannot use ${imported} here: change files with @wrenn/effects` });
          }
        }
      },
      MemberExpression(node) {
        if (node.object.type !== "Identifier" || !namespaces.has(node.object.name)) return;
        if (node.property.type !== "Identifier" || !FILE_EFFECTS.test(node.property.name)) return;
        context.report({ node, message: `Cannot use ${node.property.name} here: change files with @wrenn/effects` });
      },
    };
  },
});

/** What an import brings in at run time; a namespace or default import has no `imported`. */
function importedValues(node: ImportNode): { imported: string | undefined; local: string }[] {
  return node.specifiers.flatMap((one): { imported: string | undefined; local: string }[] => {
    const local = one.local.name;
    if (one.type !== "ImportSpecifier") return [{ imported: undefined, local }];
    if (one.importKind === "type") return [];
    return [{ imported: one.imported.type === "Identifier" ? one.imported.name : one.imported.value, local }];
  });
}
