import { WrennError } from "@wrenn/errors";
import type { TemplateStore } from "./template-store.ts";

/** Names listed in a hint. */
const MOST_NAMES = 20;

/** The answer to a template name that means nothing for a team. */
export async function unknownTemplate(templates: TemplateStore, teamId: string, name: string): Promise<WrennError> {
  const known = (await templates.page(teamId, { limit: MOST_NAMES })).map((template) => template.name);
  const hint =
    known.length === 0
      ? "There is no template yet: the host agent reports its built-in ones once it runs (./wrenn status)"
      : `Use one of: ${known.sort().join(", ")}`;
  return new WrennError("not_found", `Cannot find template ${JSON.stringify(name)}`, { hint });
}
