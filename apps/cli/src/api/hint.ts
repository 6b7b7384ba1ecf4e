/** What the API says of routes and fields, in the words of the command line: which command, which option. */

/** By method and path, ids as `*`. */
const COMMANDS: Readonly<Record<string, string>> = {
  "POST /v1/auth/login": "wrenn login",
  "GET /v1/api-keys": "wrenn key list",
  "GET /v1/sandboxes": "wrenn sandbox list",
  "GET /v1/sandboxes/*/files": "wrenn sandbox cp",
  "PUT /v1/sandboxes/*/files": "wrenn sandbox cp",
  "GET /v1/sandboxes/*/processes": "wrenn sandbox ps",
  "GET /v1/snapshots": "wrenn snapshot list",
  "GET /v1/teams": "wrenn team list",
  "GET /v1/teams/*/members": "wrenn team members",
  "GET /v1/templates": "wrenn template list",
};

interface OptionOfField {
  option: string;
  /** Of the numbers that the API tells. */
  unit?: string;
}
const OPTIONS: Readonly<Record<string, OptionOfField>> = {
  template: { option: "--template" },
  vcpus: { option: "--vcpus" },
  memory_mb: { option: "--memory", unit: "MiB" },
  disk_mb: { option: "--disk", unit: "MiB" },
  timeout_sec: { option: "--timeout", unit: "seconds" },
  on_timeout: { option: "--on-timeout" },
  envs: { option: "--env" },
  metadata: { option: "--metadata" },
  status: { option: "--status" },
  cwd: { option: "--cwd" },
  user: { option: "--user" },
  expires_in_sec: { option: "--expires", unit: "seconds" },
  scopes: { option: "--scopes" },
};
const FIELDS = Object.keys(OPTIONS).join("|");

const ROUTE = /\b(GET|POST|PUT|PATCH|DELETE) (\/v1\/[\w/{}-]+)/g;
const SWITCH = /\?(\w+)=true\b/g;
/** Fields that are no words of English. */
const FIELD = new RegExp(`\\b(?:${FIELDS})\\b(?<=_\\w+)`, "g");
const FIELD_OF_REQUEST = new RegExp(`\\b(${FIELDS})((?:\\.[^\\s:]+)?) in the (?:body|query)`, "g");
const FIELD_REFERENCE = "The reference at /docs describes every field";

/** A hint of the API. */
export function hintForCommandLine(hint: string): string {
  if (hint === FIELD_REFERENCE) return "The command's --help describes every option";
  return hint
    .replace(ROUTE, (route, method: string, path: string) => COMMANDS[`${method} ${withoutIds(path)}`] ?? route)
    .replace(SWITCH, "--$1")
    .replace(FIELD, (field) => OPTIONS[field]?.option ?? field);
}

/** A message of the API. */
export function messageForCommandLine(message: string): string {
  return message.replace(FIELD_OF_REQUEST, (_, field: string, part: string) => {
    const { option, unit } = OPTIONS[field] as OptionOfField;
    const name = part === "" ? option : `${part.slice(1)} of ${option}`;
    return unit === undefined ? name : `${name} (${unit})`;
  });
}

/** The path with a star for the id behind its collection. */
function withoutIds(path: string): string {
  const [, version, collection, id, ...rest] = path.split("/");
  if (id === undefined || collection === "auth") return path;
  return ["", version, collection, "*", ...rest].join("/");
}
