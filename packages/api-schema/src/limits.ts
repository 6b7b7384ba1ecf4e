/**
 * Limits of the HTTP API. The server checks them before any work; clients may use them to refuse
 * early. A host may allow less (its processors and memory).
 */
export const LIMITS = {
  minVcpus: 1,
  maxVcpus: 8,
  minMemoryMb: 128,
  maxMemoryMb: 65_536,
  minDiskMb: 256,
  maxDiskMb: 1_048_576,
  /** 30 days; 0 means never. */
  maxTimeoutSec: 2_592_000,
  /** One year. */
  maxLifetimeSec: 31_536_000,
  /** One day. */
  maxExecTimeoutSec: 86_400,
  defaultExecTimeoutSec: 30,
  maxEnvs: 1_000,
  maxEnvNameLength: 256,
  /** Linux refuses a single environment string of 128 KiB and more (MAX_ARG_STRLEN). */
  maxEnvValueLength: 65_536,
  /** UTF-8 bytes of all names and values together. */
  maxEnvBytes: 262_144,
  maxMetadataEntries: 64,
  maxMetadataKeyLength: 128,
  maxMetadataValueLength: 1_024,
  maxTemplateNameLength: 128,
  /** Of a template that a team makes. */
  maxNewTemplateNameLength: 64,
  /** Children of one fork request. */
  maxForks: 32,
  maxCommandLength: 65_536,
  maxArgs: 4_096,
  maxPathLength: 4_096,
  maxUserLength: 64,
  /** Bytes of standard input in one `exec` request. */
  maxStdinBytes: 8_388_608,
  /** Bytes kept of each output stream of one `exec`; what comes after is dropped. */
  maxExecOutputBytes: 8_388_608,
  maxEmailLength: 320,
  minPasswordLength: 8,
  maxPasswordLength: 1_024,
  /** Of teams and API keys. */
  maxNameLength: 128,
  maxTeamsPerOwner: 20,
  /** Invitations of a team that can still be accepted. */
  maxOpenInvitations: 100,
  maxApiKeysPerTeam: 1_000,
  /** Ten years. */
  maxKeyLifetimeSec: 315_360_000,
  /** 30 days. */
  maxInvitationLifetimeSec: 2_592_000,
  /** A week. */
  defaultInvitationLifetimeSec: 604_800,
  maxPageSize: 100,
  defaultPageSize: 50,
} as const;
