/** The API's checks again: the control plane's may be another version's. */
import { TEMPLATE_NAME_PATTERN } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";

const NAME = new RegExp(TEMPLATE_NAME_PATTERN);

/** @throws WrennError `invalid_request` */
export function checkedTemplateName(name: string): string {
  if (NAME.test(name)) return name;
  throw new WrennError("invalid_request", `Cannot use the template name ${JSON.stringify(name.slice(0, 80))}`, {
    hint: "1 to 64 characters a-z, 0-9, dot, dash and underscore; the first is a letter or a digit",
  });
}

/** Build ids become directory names: nothing but this form ever reaches the file system. */
export function checkedBuildId(id: string): string {
  if (/^bld_[0-9a-z]{20}$/.test(id)) return id;
  throw new WrennError(
    "invalid_request",
    `Cannot use build id ${JSON.stringify(id.slice(0, 80))}: "bld_" and 20 characters a-z0-9`,
  );
}
