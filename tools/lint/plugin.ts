/** The project's own lint rules; .oxlintrc.json turns them on. */
import { appBoundaries } from "./app-boundaries.ts";
import { effectsOnly } from "./effects-only.ts";
import { noEnvironment } from "./no-environment.ts";
import { noShell } from "./no-shell.ts";

export default {
  meta: { name: "wrenn" },
  rules: {
    "app-boundaries": appBoundaries,
    "effects-only": effectsOnly,
    "no-environment": noEnvironment,
    "no-shell": noShell,
  },
};
