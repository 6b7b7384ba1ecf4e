import { Type, type Static } from "typebox";
import { IDEMPOTENCY_KEY_HEADER } from "./headers.ts";
import { LIMITS } from "./limits.ts";
import { Timestamp } from "./timestamp.ts";

/** Every state of a sandbox, in the order of a life. docs/reference/api.md describes each. */
export const SANDBOX_STATUSES = [
  "creating",
  "running",
  "pausing",
  "paused",
  "resuming",
  "destroying",
  "gone",
  "failed",
] as const;
export const SandboxStatus = Type.Enum(SANDBOX_STATUSES, { $id: "SandboxStatus" });
export type SandboxStatus = Static<typeof SandboxStatus>;

/** Whether a running guest answers; a sandbox that does not run is `responsive`. */
export const SANDBOX_HEALTH = ["responsive", "busy", "unresponsive"] as const;
export const SandboxHealth = Type.Enum(SANDBOX_HEALTH, {
  $id: "SandboxHealth",
  description:
    "Whether a running guest answers: `busy` does not, but its vCPUs are at work; `unresponsive` does neither.",
});
export type SandboxHealth = Static<typeof SandboxHealth>;

export const OnTimeout = Type.Enum(["destroy", "pause"], {
  description: "What happens when the idle timeout or the end is reached.",
});
export type OnTimeout = Static<typeof OnTimeout>;

/** A sandbox id: `sb` and 20 characters of 0-9a-z, so that it can be part of a host name. */
export const SandboxId = Type.String({
  pattern: "^sb[0-9a-z]{20}$",
  description: "Id of a sandbox, such as sb3k9x0c2m4q8w1z7y5v6u.",
});

export const Metadata = Type.Record(Type.String(), Type.String({ maxLength: LIMITS.maxMetadataValueLength }), {
  propertyNames: Type.String({ minLength: 1, maxLength: LIMITS.maxMetadataKeyLength }),
  maxProperties: LIMITS.maxMetadataEntries,
  description: "The caller's own labels.",
});
export type Metadata = Static<typeof Metadata>;

/** All names and values together may have `LIMITS.maxEnvBytes` bytes, which no schema can say. */
export const Envs = Type.Record(
  Type.String(),
  Type.String({ maxLength: LIMITS.maxEnvValueLength, pattern: "^[^\\u0000]*$" }),
  {
    propertyNames: Type.String({
      pattern: `^[A-Za-z_][A-Za-z0-9_]{0,${LIMITS.maxEnvNameLength - 1}}$`,
    }),
    maxProperties: LIMITS.maxEnvs,
    description: "Environment variables.",
  },
);
export type Envs = Static<typeof Envs>;

const TimeoutSec = Type.Integer({
  minimum: 0,
  maximum: LIMITS.maxTimeoutSec,
  description: "Seconds without activity after which on_timeout happens; 0 means never.",
});

export const Sandbox = Type.Object(
  {
    id: SandboxId,
    status: SandboxStatus,
    template: Type.String({ description: "Name of the template that it was made from." }),
    vcpus: Type.Integer(),
    memory_mb: Type.Integer({ description: "Memory, MiB." }),
    disk_mb: Type.Integer({ description: "Disk, MiB." }),
    timeout_sec: TimeoutSec,
    max_lifetime_sec: Type.Optional(
      Type.Integer({ description: "Seconds from each start to the end, whatever happens before; absent: no end." }),
    ),
    end_at: Type.Optional(Timestamp("The end, whatever happens before.")),
    on_timeout: OnTimeout,
    metadata: Metadata,
    created_at: Timestamp("When it was asked for."),
    started_at: Type.Optional(Timestamp("When its guest last began to run.")),
    last_active_at: Type.Optional(Timestamp("When it was last used.")),
    last_updated: Timestamp("When anything above last changed."),
    reason: Type.Optional(Type.String({ description: "Why the status is what it is." })),
    health: Type.Optional(SandboxHealth),
  },
  { $id: "Sandbox" },
);
export type Sandbox = Static<typeof Sandbox>;

export const CreateSandboxRequest = Type.Object(
  {
    template: Type.String({
      default: "base",
      minLength: 1,
      maxLength: LIMITS.maxTemplateNameLength,
      pattern: "^[a-zA-Z0-9][a-zA-Z0-9._-]*$",
      description: "Name of a built-in template or of one of the team.",
    }),
    vcpus: Type.Optional(
      Type.Integer({
        minimum: LIMITS.minVcpus,
        maximum: LIMITS.maxVcpus,
        description: "1 unless the template says otherwise.",
      }),
    ),
    memory_mb: Type.Optional(
      Type.Integer({
        minimum: LIMITS.minMemoryMb,
        maximum: LIMITS.maxMemoryMb,
        description: "MiB; 512 unless the template says otherwise.",
      }),
    ),
    disk_mb: Type.Optional(
      Type.Integer({
        minimum: LIMITS.minDiskMb,
        maximum: LIMITS.maxDiskMb,
        description: "MiB; the template's own size unless told.",
      }),
    ),
    timeout_sec: Type.Integer({ ...TimeoutSec, default: 300 }),
    max_lifetime_sec: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: LIMITS.maxLifetimeSec,
        description: "Seconds from the start to the end, whatever happens before.",
      }),
    ),
    on_timeout: Type.Enum(["destroy", "pause"], { default: "destroy" }),
    envs: Type.Optional(Envs),
    metadata: Type.Optional(Metadata),
  },
  { $id: "CreateSandbox", additionalProperties: false },
);
/** What the server sees: defaults are filled in. */
export type CreateSandboxRequest = Static<typeof CreateSandboxRequest>;
/** What a client may send. */
export type CreateSandboxInput = Partial<CreateSandboxRequest>;

export const CreateHeaders = Type.Object({
  [IDEMPOTENCY_KEY_HEADER]: Type.Optional(
    Type.String({
      pattern: "^[\\x21-\\x7e]{1,255}$",
      description: "Names the request: repeating it under the same key within 24 hours makes nothing twice.",
    }),
  ),
});
export type CreateHeaders = Static<typeof CreateHeaders>;

export const SandboxParams = Type.Object({ id: Type.String({ maxLength: 128 }) });
export type SandboxParams = Static<typeof SandboxParams>;

export const PauseQuery = Type.Object(
  {
    memory: Type.Boolean({
      default: true,
      description: "`false` keeps only the disk, in the order in which the guest left it: the sandbox boots from it.",
    }),
  },
  { additionalProperties: false },
);
export type PauseQuery = Static<typeof PauseQuery>;

export const ResumeQuery = Type.Object(
  {
    memory: Type.Boolean({
      default: true,
      description: "`false` boots from the disk, also when the memory was kept or cannot be loaded here.",
    }),
  },
  { additionalProperties: false },
);
export type ResumeQuery = Static<typeof ResumeQuery>;

export const PageQuery = Type.Object(
  {
    limit: Type.Integer({
      minimum: 1,
      maximum: LIMITS.maxPageSize,
      default: LIMITS.defaultPageSize,
    }),
    cursor: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 256,
        description: "X-Next-Cursor of the page before.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type PageQuery = Static<typeof PageQuery>;

export const ListSandboxesQuery = Type.Object(
  {
    ...PageQuery.properties,
    status: Type.Optional(
      Type.String({
        pattern: `^(${SANDBOX_STATUSES.join("|")})(,(${SANDBOX_STATUSES.join("|")}))*$`,
        description: "Comma-separated statuses; every one but `gone` unless told.",
      }),
    ),
    template: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: LIMITS.maxTemplateNameLength,
        description: "Only those made from the template of this name.",
      }),
    ),
    metadata: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 16_384,
        description: "Labels that must all be there, as a query string of its own: `user=anna&app=demo`, URL-encoded.",
      }),
    ),
  },
  { additionalProperties: false },
);
export type ListSandboxesQuery = Static<typeof ListSandboxesQuery>;

/** At least one of the two deadlines, which no schema can say. */
export const SetTimeoutRequest = Type.Object(
  {
    timeout_sec: Type.Optional(TimeoutSec),
    end_in_sec: Type.Optional(
      Type.Union([Type.Integer({ minimum: 1, maximum: LIMITS.maxLifetimeSec }), Type.Null()], {
        description: "Seconds from now to the end, whatever happens before; null: no end.",
      }),
    ),
    only_extend: Type.Boolean({
      default: false,
      description: "True: a deadline that is later already stays as it is.",
    }),
  },
  { $id: "SetTimeout", additionalProperties: false },
);
/** What the server sees: defaults are filled in. */
export type SetTimeoutRequest = Static<typeof SetTimeoutRequest>;

export const SandboxMetrics = Type.Object(
  {
    time: Timestamp("When they were taken."),
    cpu_count: Type.Integer(),
    cpu_used_pct: Type.Number({ description: "Of all CPUs together, 0 to 100, since the last look." }),
    memory_used_bytes: Type.Integer(),
    memory_total_bytes: Type.Integer(),
    memory_cache_bytes: Type.Integer(),
    disk_used_bytes: Type.Integer(),
    disk_total_bytes: Type.Integer(),
  },
  { $id: "SandboxMetrics" },
);
export type SandboxMetrics = Static<typeof SandboxMetrics>;

export const LogsQuery = Type.Object(
  {
    follow: Type.Boolean({ default: false, description: "Go on as the console is written, until the sandbox stops." }),
  },
  { additionalProperties: false },
);
export type LogsQuery = Static<typeof LogsQuery>;
