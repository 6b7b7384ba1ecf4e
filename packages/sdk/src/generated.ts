// Made from docs/reference/openapi.yaml: node packages/sdk/generate/main.ts

/** Every code that an error of the API may have. */
export type ErrorCode =
  | "invalid_request"
  | "unauthorized"
  | "forbidden"
  | "not_found"
  | "already_exists"
  | "invalid_state"
  | "conflict"
  | "stale_incarnation"
  | "incompatible_snapshot"
  | "too_large"
  | "rate_limited"
  | "quota_exceeded"
  | "canceled"
  | "missing_requirement"
  | "needs_root"
  | "port_in_use"
  | "command_failed"
  | "unsupported"
  | "capacity"
  | "storage_full"
  | "timeout"
  | "sandbox_unreachable"
  | "agent_unavailable"
  | "unavailable"
  | "internal";

/** A body that is not JSON. A stream needs a runtime that can send one (not Safari). */
export type RequestBody = string | Uint8Array<ArrayBuffer> | ArrayBuffer | Blob | FormData | ReadableStream<Uint8Array>;

export type AcceptInvitation = {
  /** The token of an invitation's link. */
  token: string;
};

export type ApiKey = {
  id: string;
  team_id: string;
  name: string;
  /** Its readable beginning. */
  key_prefix: string;
  scopes: Scope[];
  /** The user who made it. */
  created_by?: string;
  creator_email?: string;
  /** When it was made. RFC 3339, UTC, microseconds. */
  created_at: string;
  /** When it ends. RFC 3339, UTC, microseconds. */
  expires_at?: string;
  /** When it was last used, to 30 seconds. RFC 3339, UTC, microseconds. */
  last_used?: string;
};

export type AuditEntry = {
  id: string;
  /** Such as sandbox.create. */
  action: string;
  /** Who did it. */
  actor: {
    type: "user" | "api_key";
    id: string;
    /** The address of the user, or the name of the key, as it was then. */
    name: string;
  };
  /** What it was done to. */
  target_id?: string;
  /** Finds the request in the server's log. */
  request_id: string;
  /** IP address that the request came from. */
  address?: string;
  details: Record<string, unknown>;
  /** When it was done. RFC 3339, UTC, microseconds. */
  created_at: string;
};

export type ChangePassword = {
  /** Password. */
  current_password: string;
  /** Password. */
  new_password: string;
};

export type ChangeRole = {
  role: Role;
};

export type CreateApiKey = {
  /** For people; need not be unique. */
  name?: string;
  /** What it may be used for; everything but team:write and platform:write unless told. */
  scopes?: Scope[];
  /** Seconds; never unless told. */
  expires_in_sec?: number;
};

export type CreateInvitation = {
  role?: "member" | "admin" | "owner";
  /** E-mail address. */
  email?: string;
  expires_in_sec?: number;
};

export type CreateSandbox = {
  /** Name of a built-in template or of one of the team. */
  template?: string;
  /** 1 unless the template says otherwise. */
  vcpus?: number;
  /** MiB; 512 unless the template says otherwise. */
  memory_mb?: number;
  /** MiB; the template's own size unless told. */
  disk_mb?: number;
  /** Seconds without activity after which on_timeout happens; 0 means never. */
  timeout_sec?: number;
  /** Seconds from the start to the end, whatever happens before. */
  max_lifetime_sec?: number;
  on_timeout?: "destroy" | "pause";
  /** Environment variables. */
  envs?: Record<string, string>;
  /** The caller's own labels. */
  metadata?: Record<string, string>;
};

export type CreateSnapshot = {
  /** Id of a sandbox, such as sb3k9x0c2m4q8w1z7y5v6u. */
  sandbox_id: string;
  /** Name of the template; template-<8 hexadecimal digits> unless told. */
  name?: string;
};

export type CreateTeam = {
  /** For people; need not be unique. */
  name: string;
};

export type CreateWebhook = {
  /** Where events are sent with POST. Private addresses are refused unless the platform allows them. */
  url: string;
  /** Empty: all. */
  event_types?: ("sandbox.creating" | "sandbox.running" | "sandbox.pausing" | "sandbox.paused" | "sandbox.resuming" | "sandbox.destroying" | "sandbox.gone" | "sandbox.failed" | "sandbox.responsive" | "sandbox.busy" | "sandbox.unresponsive")[];
};

export type CreatedApiKey = {
  id: string;
  team_id: string;
  name: string;
  /** Its readable beginning. */
  key_prefix: string;
  scopes: Scope[];
  /** The user who made it. */
  created_by?: string;
  creator_email?: string;
  /** When it was made. RFC 3339, UTC, microseconds. */
  created_at: string;
  /** When it ends. RFC 3339, UTC, microseconds. */
  expires_at?: string;
  /** When it was last used, to 30 seconds. RFC 3339, UTC, microseconds. */
  last_used?: string;
  /** The key itself; shown this once. */
  key: string;
};

export type CreatedInvitation = {
  id: string;
  team_id: string;
  role: Role;
  /** The only address that may accept it. */
  email?: string;
  created_by?: string;
  /** When it was made. RFC 3339, UTC, microseconds. */
  created_at: string;
  /** When it ends. RFC 3339, UTC, microseconds. */
  expires_at: string;
  /** Lets one person join; shown this once. */
  token: string;
  /** Of the page that accepts it, with the token as the fragment. */
  path: string;
};

export type CreatedWebhook = {
  id: string;
  /** Where events are sent with POST. Private addresses are refused unless the platform allows them. */
  url: string;
  /** Empty: all. */
  event_types: ("sandbox.creating" | "sandbox.running" | "sandbox.pausing" | "sandbox.paused" | "sandbox.resuming" | "sandbox.destroying" | "sandbox.gone" | "sandbox.failed" | "sandbox.responsive" | "sandbox.busy" | "sandbox.unresponsive")[];
  enabled: boolean;
  created_at: string;
  updated_at: string;
  /** `whsec_` and base64: the key of the signatures (Standard Webhooks). */
  secret: string;
};

export type Event = {
  /** Grows within a team; `Last-Event-ID` of a stream. */
  id: string;
  /** `sandbox.` and the status that it came to; or `sandbox.unresponsive` when its guest answers no more, and `sandbox.busy` or `sandbox.responsive` when it stops being so. */
  type: "sandbox.creating" | "sandbox.running" | "sandbox.pausing" | "sandbox.paused" | "sandbox.resuming" | "sandbox.destroying" | "sandbox.gone" | "sandbox.failed" | "sandbox.responsive" | "sandbox.busy" | "sandbox.unresponsive";
  created_at: string;
  /** Id of a sandbox, such as sb3k9x0c2m4q8w1z7y5v6u. */
  sandbox_id: string;
  data: {
    status: SandboxStatus;
    previous_status?: SandboxStatus;
    /** One more after each resume. */
    incarnation: number;
    template: string;
    metadata: Record<string, string>;
    reason?: string;
    health?: SandboxHealth;
  };
};

export type Exec = {
  /** Program, found through PATH. */
  cmd: string;
  /** Its arguments, as they are: no shell is in between. */
  args?: string[];
  /** Environment variables. */
  envs?: Record<string, string>;
  /** Working directory; the user's home unless told. */
  cwd?: string;
  /** User name in the guest; the template's default unless told. */
  user?: string;
  /** Standard input, at most 8388608 bytes; then it is closed. */
  stdin?: string;
  stdin_encoding?: "utf-8" | "base64";
  /** Seconds after which the process is killed; 0 means 30. */
  timeout_sec?: number;
};

export type ExecResult = {
  sandbox_id: string;
  cmd: string;
  stdout: string;
  stderr: string;
  duration_ms: number;
  /** Of stdout and stderr: base64 when either is not valid UTF-8. */
  encoding: "utf-8" | "base64";
  /** True when a stream was longer than 8388608 bytes and its rest was dropped. */
  truncated: boolean;
  /** 0 to 255, or 128 + N when signal N ended it. */
  exit_code: number;
  /** Name of the signal that ended it. */
  signal?: string;
  /** True when the guest's kernel killed it for memory. */
  oom: boolean;
};

export type ExecTimeout = {
  error: {
    code: string;
    message: string;
    hint?: string;
    request_id: string;
  };
  partial?: {
    sandbox_id: string;
    cmd: string;
    stdout: string;
    stderr: string;
    duration_ms: number;
    /** Of stdout and stderr: base64 when either is not valid UTF-8. */
    encoding: "utf-8" | "base64";
    /** True when a stream was longer than 8388608 bytes and its rest was dropped. */
    truncated: boolean;
  };
};

export type FileEntry = {
  name: string;
  /** Absolute. */
  path: string;
  /** Of what a symbolic link points at; `symlink` when that is missing. */
  type: "file" | "directory" | "symlink" | "other";
  /** Bytes. */
  size: number;
  /** Permission bits, such as 420 for 0644. */
  mode: number;
  /** The same in letters. */
  permissions: string;
  owner: string;
  group: string;
  modified_at?: string;
  symlink_target?: string;
};

export type FileWritten = {
  /** The path as it was given. */
  path: string;
  /** Bytes. */
  size: number;
};

export type ForkSandbox = {
  /** How many children. */
  count?: number;
  /** Seconds without activity after which on_timeout happens; the source's unless told. */
  timeout_sec?: number;
  /** The caller's own labels. */
  metadata?: Record<string, string>;
};

export type Health = {
  status: "ok";
  version: string;
};

export type Identity = {
  user?: {
    id: string;
    email: string;
  };
  api_key?: {
    id: string;
    name: string;
  };
  team: {
    id: string;
    name: string;
  };
  role: Role;
  scopes: Scope[];
};

export type Invitation = {
  id: string;
  team_id: string;
  role: Role;
  /** The only address that may accept it. */
  email?: string;
  created_by?: string;
  /** When it was made. RFC 3339, UTC, microseconds. */
  created_at: string;
  /** When it ends. RFC 3339, UTC, microseconds. */
  expires_at: string;
};

export type LogIn = {
  email: string;
  /** Password. */
  password: string;
};

export type MakeDirectory = {
  /** Path in the guest; relative ones start at the user's home. */
  path: string;
  user?: string;
};

export type Member = {
  user_id: string;
  email: string;
  role: Role;
  /** When the user joined. RFC 3339, UTC, microseconds. */
  joined_at: string;
};

export type MoveFile = {
  /** Path in the guest; relative ones start at the user's home. */
  source: string;
  /** Path in the guest; relative ones start at the user's home. */
  destination: string;
  user?: string;
};

export type Operation = {
  /** `create`, `fork`, `pause`, `resume`, `checkpoint`, `snapshot`, `rewrite` or `destroy`. */
  operation: string;
  /** Which of the sandbox's lives; one more after each resume. */
  incarnation: number;
  /** When it began. RFC 3339, UTC, microseconds. */
  started_at: string;
  duration_ms: number;
  stages: OperationStage[];
  /** Why it failed; absent when it did not. */
  error?: {
    /** One of docs/reference/errors.md. */
    code: string;
    message: string;
  };
};

export type OperationStage = {
  /** What was done: `turn`, `slot`, `disk`, `restore`, `hook`, `freeze`, `capture` and so on. */
  name: string;
  /** Milliseconds from the operation's start to this stage's. */
  start_ms: number;
  duration_ms: number;
  /** Bytes that it wrote or loaded; 0 when it moved none. */
  bytes: number;
  /** Pages of memory by what became of them or where they came from. */
  pages?: Record<string, number>;
};

export type Process = {
  pid: number;
  cmd: string;
  args: string[];
  cwd: string;
};

export type ReadFile = {
  /** Path in the guest; relative ones start at the user's home. */
  path: string;
  user?: string;
};

export type Ready = {
  status: "ready";
  version: string;
};

export type RenameTeam = {
  /** For people; need not be unique. */
  name: string;
};

/** Role in a team. */
export type Role = "member" | "admin" | "owner";

export type Sandbox = {
  /** Id of a sandbox, such as sb3k9x0c2m4q8w1z7y5v6u. */
  id: string;
  status: SandboxStatus;
  /** Name of the template that it was made from. */
  template: string;
  vcpus: number;
  /** Memory, MiB. */
  memory_mb: number;
  /** Disk, MiB. */
  disk_mb: number;
  /** Seconds without activity after which on_timeout happens; 0 means never. */
  timeout_sec: number;
  /** Seconds from each start to the end, whatever happens before; absent: no end. */
  max_lifetime_sec?: number;
  /** The end, whatever happens before. RFC 3339, UTC, microseconds. */
  end_at?: string;
  /** What happens when the idle timeout or the end is reached. */
  on_timeout: "destroy" | "pause";
  /** The caller's own labels. */
  metadata: Record<string, string>;
  /** When it was asked for. RFC 3339, UTC, microseconds. */
  created_at: string;
  /** When its guest last began to run. RFC 3339, UTC, microseconds. */
  started_at?: string;
  /** When it was last used. RFC 3339, UTC, microseconds. */
  last_active_at?: string;
  /** When anything above last changed. RFC 3339, UTC, microseconds. */
  last_updated: string;
  /** Why the status is what it is. */
  reason?: string;
  health?: SandboxHealth;
};

/** Whether a running guest answers: `busy` does not, but its vCPUs are at work; `unresponsive` does neither. */
export type SandboxHealth = "responsive" | "busy" | "unresponsive";

export type SandboxMetrics = {
  /** When they were taken. RFC 3339, UTC, microseconds. */
  time: string;
  cpu_count: number;
  /** Of all CPUs together, 0 to 100, since the last look. */
  cpu_used_pct: number;
  memory_used_bytes: number;
  memory_total_bytes: number;
  memory_cache_bytes: number;
  disk_used_bytes: number;
  disk_total_bytes: number;
};

export type SandboxStatus = "creating" | "running" | "pausing" | "paused" | "resuming" | "destroying" | "gone" | "failed";

export type Scope = "sandboxes:read" | "sandboxes:write" | "templates:read" | "templates:write" | "team:read" | "team:write" | "platform:write";

export type Session = {
  /** For the header Authorization: Bearer. */
  token: string;
  /** When the token ends. RFC 3339, UTC, microseconds. */
  expires_at: string;
  user_id: string;
  email: string;
  /** The team that requests are about. */
  team_id: string;
};

export type SetQuotas = {
  running_sandboxes?: number | null;
  vcpus?: number | null;
  memory_mb?: number | null;
  snapshot_bytes?: number | null;
};

export type SetTimeout = {
  /** Seconds without activity after which on_timeout happens; 0 means never. */
  timeout_sec?: number;
  /** Seconds from now to the end, whatever happens before; null: no end. */
  end_in_sec?: number | null;
  /** True: a deadline that is later already stays as it is. */
  only_extend?: boolean;
};

export type SignUp = {
  /** E-mail address. */
  email: string;
  /** Password. */
  password: string;
  /** The token of an invitation's link. */
  invitation?: string;
};

export type SnapshotCheck = {
  name: string;
  build_id: string;
  /** Every file is as it was written. */
  intact: boolean;
  files: {
    name: string;
    /** How many were read. */
    bytes: number;
    intact: boolean;
  }[];
};

export type SwitchTeam = {
  team_id: string;
};

export type Team = {
  id: string;
  name: string;
  role: Role;
  /** When it was made. RFC 3339, UTC, microseconds. */
  created_at: string;
};

export type Template = {
  id: string;
  name: string;
  /** base: built in; snapshot: made from a sandbox; build: made from a recipe. */
  type: "base" | "snapshot" | "build";
  /** The build that new sandboxes are made from. */
  build_id: string;
  /** Of a new sandbox unless told; a snapshot's are fixed. */
  vcpus: number;
  /** MiB, of a new sandbox unless told; a snapshot's are fixed. */
  memory_mb: number;
  /** MiB that the guest sees. */
  disk_mb: number;
  /** Space that it takes on the host: allocated blocks. */
  size_bytes: number;
  /** How much of it is shared with other templates and sandboxes. */
  shared_bytes: number;
  /** Sandboxes of the team that were made from it and are not gone. */
  sandboxes: number;
  /** When this build was made. */
  created_at: string;
};

export type Ticket = {
  /** Offered as the WebSocket subprotocol `wrenn.ticket.<ticket>`. */
  ticket: string;
  expires_at: string;
};

export type UpdateWebhook = {
  /** Where events are sent with POST. Private addresses are refused unless the platform allows them. */
  url?: string;
  /** Empty: all. */
  event_types?: ("sandbox.creating" | "sandbox.running" | "sandbox.pausing" | "sandbox.paused" | "sandbox.resuming" | "sandbox.destroying" | "sandbox.gone" | "sandbox.failed" | "sandbox.responsive" | "sandbox.busy" | "sandbox.unresponsive")[];
  enabled?: boolean;
};

export type Usage = {
  /** Sandboxes that have a VM, or are about to. */
  running_sandboxes: {
    used: number;
    /** Absent: there is none. */
    limit?: number;
  };
  /** Of those sandboxes. */
  vcpus: {
    used: number;
    /** Absent: there is none. */
    limit?: number;
  };
  /** MiB, of those sandboxes. */
  memory_mb: {
    used: number;
    /** Absent: there is none. */
    limit?: number;
  };
  /** Bytes on disk of paused sandboxes, snapshots and the team's templates. */
  snapshot_bytes: {
    used: number;
    /** Absent: there is none. */
    limit?: number;
  };
};

export type Webhook = {
  id: string;
  /** Where events are sent with POST. Private addresses are refused unless the platform allows them. */
  url: string;
  /** Empty: all. */
  event_types: ("sandbox.creating" | "sandbox.running" | "sandbox.pausing" | "sandbox.paused" | "sandbox.resuming" | "sandbox.destroying" | "sandbox.gone" | "sandbox.failed" | "sandbox.responsive" | "sandbox.busy" | "sandbox.unresponsive")[];
  enabled: boolean;
  created_at: string;
  updated_at: string;
};

export type WebhookDelivery = {
  event_id: string;
  /** `sandbox.` and the status that it came to; or `sandbox.unresponsive` when its guest answers no more, and `sandbox.busy` or `sandbox.responsive` when it stops being so. */
  event_type: "sandbox.creating" | "sandbox.running" | "sandbox.pausing" | "sandbox.paused" | "sandbox.resuming" | "sandbox.destroying" | "sandbox.gone" | "sandbox.failed" | "sandbox.responsive" | "sandbox.busy" | "sandbox.unresponsive";
  status: "waiting" | "delivered" | "failed";
  attempts: number;
  next_attempt_at?: string;
  delivered_at?: string;
  last_error?: string;
};

/** What every operation takes and answers, by its id. */
export interface Operations {
  /** Tell whether the process is alive. */
  health: {
    input: Record<never, never>;
    answer: Health;
  };
  /** Tell whether requests can be served. */
  ready: {
    input: Record<never, never>;
    answer: Ready;
  };
  /** Make an account. */
  signUp: {
    input: {
      body: SignUp;
    };
    answer: Session;
  };
  /** Log in. */
  logIn: {
    input: {
      body: LogIn;
    };
    answer: Session;
  };
  /** Log out. */
  logOut: {
    input: Record<never, never>;
    answer: undefined;
  };
  /** Change the password. */
  changePassword: {
    input: {
      body: ChangePassword;
    };
    answer: Session;
  };
  /** Work in another team. */
  switchTeam: {
    input: {
      body: SwitchTeam;
    };
    answer: Session;
  };
  /** Tell who the request is from. */
  whoAmI: {
    input: Record<never, never>;
    answer: Identity;
  };
  /** Make an API key. */
  createApiKey: {
    input: {
      body?: CreateApiKey;
    };
    answer: CreatedApiKey;
  };
  /** List the team's API keys. */
  listApiKeys: {
    input: {
      query?: {
        limit?: number;
        /** X-Next-Cursor of the page before. */
        cursor?: string;
      };
    };
    answer: ApiKey[];
  };
  /** Delete an API key. */
  deleteApiKey: {
    input: {
      path: {
        id: string;
      };
    };
    answer: undefined;
  };
  /** Make a team. */
  createTeam: {
    input: {
      body: CreateTeam;
    };
    answer: Team;
  };
  /** List your teams. */
  listTeams: {
    input: {
      query?: {
        limit?: number;
        /** X-Next-Cursor of the page before. */
        cursor?: string;
      };
    };
    answer: Team[];
  };
  /** Describe a team. */
  getTeam: {
    input: {
      path: {
        team_id: string;
      };
    };
    answer: Team;
  };
  /** Rename a team. */
  renameTeam: {
    input: {
      path: {
        team_id: string;
      };
      body: RenameTeam;
    };
    answer: Team;
  };
  /** Delete a team. */
  deleteTeam: {
    input: {
      path: {
        team_id: string;
      };
    };
    answer: undefined;
  };
  /** Invite somebody to a team. */
  inviteMember: {
    input: {
      path: {
        team_id: string;
      };
      body?: CreateInvitation;
    };
    answer: CreatedInvitation;
  };
  /** List open invitations. */
  listInvitations: {
    input: {
      path: {
        team_id: string;
      };
      query?: {
        limit?: number;
        /** X-Next-Cursor of the page before. */
        cursor?: string;
      };
    };
    answer: Invitation[];
  };
  /** Withdraw an invitation. */
  deleteInvitation: {
    input: {
      path: {
        team_id: string;
        id: string;
      };
    };
    answer: undefined;
  };
  /** Join a team. */
  acceptInvitation: {
    input: {
      body: AcceptInvitation;
    };
    answer: Team;
  };
  /** List the members of a team. */
  listMembers: {
    input: {
      path: {
        team_id: string;
      };
      query?: {
        limit?: number;
        /** X-Next-Cursor of the page before. */
        cursor?: string;
      };
    };
    answer: Member[];
  };
  /** Change the role of a member. */
  changeRole: {
    input: {
      path: {
        team_id: string;
        user_id: string;
      };
      body: ChangeRole;
    };
    answer: Member;
  };
  /** Remove a member, or leave. */
  removeMember: {
    input: {
      path: {
        team_id: string;
        user_id: string;
      };
    };
    answer: undefined;
  };
  /** Tell what a team uses and may use. */
  getUsage: {
    input: {
      path: {
        team_id: string;
      };
    };
    answer: Usage;
  };
  /** Limit what a team may use. */
  setQuotas: {
    input: {
      path: {
        team_id: string;
      };
      body?: SetQuotas;
    };
    answer: Usage;
  };
  /** Tell who did what. */
  listAuditLog: {
    input: {
      path: {
        team_id: string;
      };
      query?: {
        limit?: number;
        /** X-Next-Cursor of the page before. */
        cursor?: string;
      };
    };
    answer: AuditEntry[];
  };
  /** Create a sandbox. */
  createSandbox: {
    input: {
      headers?: {
        /** Names the request: repeating it under the same key within 24 hours makes nothing twice. */
        "idempotency-key"?: string;
      };
      body?: CreateSandbox;
    };
    answer: Sandbox;
  };
  /** List sandboxes. */
  listSandboxes: {
    input: {
      query?: {
        limit?: number;
        /** X-Next-Cursor of the page before. */
        cursor?: string;
        /** Comma-separated statuses; every one but `gone` unless told. */
        status?: string;
        /** Only those made from the template of this name. */
        template?: string;
        /** Labels that must all be there, as a query string of its own: `user=anna&app=demo`, URL-encoded. */
        metadata?: string;
      };
    };
    answer: Sandbox[];
  };
  /** Describe a sandbox. */
  getSandbox: {
    input: {
      path: {
        id: string;
      };
    };
    answer: Sandbox;
  };
  /** Destroy a sandbox. */
  destroySandbox: {
    input: {
      path: {
        id: string;
      };
    };
    answer: undefined;
  };
  /** Pause a sandbox. */
  pauseSandbox: {
    input: {
      path: {
        id: string;
      };
      query?: {
        /** `false` keeps only the disk, in the order in which the guest left it: the sandbox boots from it. */
        memory?: boolean;
      };
    };
    answer: Sandbox;
  };
  /** Resume a paused sandbox. */
  resumeSandbox: {
    input: {
      path: {
        id: string;
      };
      query?: {
        /** `false` boots from the disk, also when the memory was kept or cannot be loaded here. */
        memory?: boolean;
      };
    };
    answer: Sandbox;
  };
  /** Count as activity. */
  pingSandbox: {
    input: {
      path: {
        id: string;
      };
    };
    answer: undefined;
  };
  /** Set the idle timeout, the end, or both. */
  setSandboxTimeout: {
    input: {
      path: {
        id: string;
      };
      body?: SetTimeout;
    };
    answer: Sandbox;
  };
  /** Tell what a sandbox uses. */
  getSandboxMetrics: {
    input: {
      path: {
        id: string;
      };
    };
    answer: SandboxMetrics;
  };
  /** Read the console. */
  readSandboxLogs: {
    input: {
      path: {
        id: string;
      };
      query?: {
        /** Go on as the console is written, until the sandbox stops. */
        follow?: boolean;
      };
    };
    answer: Response;
  };
  /** Tell what was done to a sandbox. */
  listSandboxOperations: {
    input: {
      path: {
        id: string;
      };
    };
    answer: Operation[];
  };
  /** List the running programs. */
  listProcesses: {
    input: {
      path: {
        id: string;
      };
    };
    answer: Process[];
  };
  /** Run a program to its end. */
  exec: {
    input: {
      path: {
        id: string;
      };
      body: Exec;
    };
    answer: ExecResult;
  };
  /** Follow a program over a WebSocket. */
  execStream: {
    input: {
      path: {
        id: string;
      };
    };
    answer: undefined;
  };
  /** Read a file. */
  readFile: {
    input: {
      path: {
        id: string;
      };
      query: {
        /** Path in the guest; relative ones start at the user's home. */
        path: string;
        user?: string;
      };
    };
    answer: Response;
  };
  /** Write a file. */
  writeFile: {
    input: {
      path: {
        id: string;
      };
      query: {
        /** Path in the guest; relative ones start at the user's home. */
        path: string;
        user?: string;
      };
      body?: RequestBody;
    };
    answer: FileWritten;
  };
  /** Remove a file, or a directory and all below it. */
  removeFile: {
    input: {
      path: {
        id: string;
      };
      query: {
        /** Path in the guest; relative ones start at the user's home. */
        path: string;
        user?: string;
      };
    };
    answer: undefined;
  };
  /** Read a file whose path is in the body. */
  readFileByPost: {
    input: {
      path: {
        id: string;
      };
      body: ReadFile;
    };
    answer: Response;
  };
  /** Read a file whose path is in the body (another name). */
  streamReadFile: {
    input: {
      path: {
        id: string;
      };
      body: ReadFile;
    };
    answer: Response;
  };
  /** Write a file from a form. */
  writeFileForm: {
    input: {
      path: {
        id: string;
      };
      query?: {
        /** Path in the guest; relative ones start at the user's home. */
        path?: string;
        user?: string;
      };
      body?: RequestBody;
    };
    answer: undefined;
  };
  /** Write a file from a form (another name). */
  streamWriteFileForm: {
    input: {
      path: {
        id: string;
      };
      query?: {
        /** Path in the guest; relative ones start at the user's home. */
        path?: string;
        user?: string;
      };
      body?: RequestBody;
    };
    answer: undefined;
  };
  /** Describe a file or directory. */
  statFile: {
    input: {
      path: {
        id: string;
      };
      query: {
        /** Path in the guest; relative ones start at the user's home. */
        path: string;
        user?: string;
      };
    };
    answer: FileEntry;
  };
  /** List a directory. */
  listFiles: {
    input: {
      path: {
        id: string;
      };
      query: {
        /** Path in the guest; relative ones start at the user's home. */
        path: string;
        user?: string;
        /** Levels of directories. */
        depth?: number;
      };
    };
    answer: FileEntry[];
  };
  /** Make a directory. */
  makeDirectory: {
    input: {
      path: {
        id: string;
      };
      body: MakeDirectory;
    };
    answer: FileEntry;
  };
  /** Move a file or directory. */
  moveFile: {
    input: {
      path: {
        id: string;
      };
      body: MoveFile;
    };
    answer: FileEntry;
  };
  /** Watch a directory over a WebSocket. */
  watchFiles: {
    input: {
      path: {
        id: string;
      };
      query: {
        /** Path in the guest; relative ones start at the user's home. */
        path: string;
        user?: string;
        /** Also everything below. */
        recursive?: boolean;
      };
    };
    answer: undefined;
  };
  /** Read a directory as a tar archive. */
  readTar: {
    input: {
      path: {
        id: string;
      };
      query: {
        /** Path in the guest; relative ones start at the user's home. */
        path: string;
        user?: string;
      };
    };
    answer: Response;
  };
  /** Unpack a tar archive into a directory. */
  writeTar: {
    input: {
      path: {
        id: string;
      };
      query: {
        /** Path in the guest; relative ones start at the user's home. */
        path: string;
        user?: string;
      };
      body?: RequestBody;
    };
    answer: FileWritten;
  };
  /** List templates. */
  listTemplates: {
    input: {
      query?: {
        limit?: number;
        /** X-Next-Cursor of the page before. */
        cursor?: string;
        type?: "base" | "snapshot" | "build";
      };
    };
    answer: Template[];
  };
  /** Describe a template. */
  getTemplate: {
    input: {
      path: {
        name: string;
      };
    };
    answer: Template;
  };
  /** Delete a template of the team. */
  deleteTemplate: {
    input: {
      path: {
        name: string;
      };
    };
    answer: undefined;
  };
  /** Make a template of a sandbox. */
  createSnapshot: {
    input: {
      query?: {
        /** Replace the team's template of that name; sandboxes made from it keep what they were made from. */
        overwrite?: boolean;
      };
      body: CreateSnapshot;
    };
    answer: Template;
  };
  /** List the templates that were made of sandboxes. */
  listSnapshots: {
    input: {
      query?: {
        limit?: number;
        /** X-Next-Cursor of the page before. */
        cursor?: string;
        type?: "base" | "snapshot" | "build";
      };
    };
    answer: Template[];
  };
  /** Delete a template that was made of a sandbox. */
  deleteSnapshot: {
    input: {
      path: {
        name: string;
      };
    };
    answer: undefined;
  };
  /** Read a snapshot's files and compare their checksums. */
  verifySnapshot: {
    input: {
      path: {
        name: string;
      };
    };
    answer: SnapshotCheck;
  };
  /** Fork a sandbox. */
  forkSandbox: {
    input: {
      path: {
        id: string;
      };
      body?: ForkSandbox;
    };
    answer: Sandbox[];
  };
  /** List events. */
  listEvents: {
    input: {
      query?: {
        limit?: number;
        /** Only events after the one of this id. */
        after?: string;
        /** Comma-separated types; all unless told. */
        types?: string;
        /** Id of a sandbox, such as sb3k9x0c2m4q8w1z7y5v6u. */
        sandbox_id?: string;
      };
    };
    answer: Event[];
  };
  /** Follow events. */
  streamEvents: {
    input: {
      query?: {
        /** As the header Last-Event-ID; from now on unless told. */
        after?: string;
        /** Comma-separated types; all unless told. */
        types?: string;
        /** Id of a sandbox, such as sb3k9x0c2m4q8w1z7y5v6u. */
        sandbox_id?: string;
      };
    };
    answer: Response;
  };
  /** Have events sent to a URL. */
  createWebhook: {
    input: {
      body: CreateWebhook;
    };
    answer: CreatedWebhook;
  };
  /** List webhooks. */
  listWebhooks: {
    input: {
      query?: {
        limit?: number;
        /** X-Next-Cursor of the page before. */
        cursor?: string;
      };
    };
    answer: Webhook[];
  };
  /** Describe a webhook. */
  getWebhook: {
    input: {
      path: {
        id: string;
      };
    };
    answer: Webhook;
  };
  /** Change a webhook. */
  updateWebhook: {
    input: {
      path: {
        id: string;
      };
      body?: UpdateWebhook;
    };
    answer: Webhook;
  };
  /** Delete a webhook. */
  deleteWebhook: {
    input: {
      path: {
        id: string;
      };
    };
    answer: undefined;
  };
  /** List what was sent to a webhook. */
  listWebhookDeliveries: {
    input: {
      path: {
        id: string;
      };
    };
    answer: WebhookDelivery[];
  };
  /** Get a ticket for a WebSocket. */
  createTicket: {
    input: Record<never, never>;
    answer: Ticket;
  };
}

/** How every operation is asked for. */
export const OPERATIONS = {
  health: { method: "GET", path: "/health" },
  ready: { method: "GET", path: "/ready" },
  signUp: { method: "POST", path: "/v1/auth/signup" },
  logIn: { method: "POST", path: "/v1/auth/login" },
  logOut: { method: "DELETE", path: "/v1/auth/session" },
  changePassword: { method: "POST", path: "/v1/auth/password" },
  switchTeam: { method: "POST", path: "/v1/auth/switch-team" },
  whoAmI: { method: "GET", path: "/v1/auth/me" },
  createApiKey: { method: "POST", path: "/v1/api-keys" },
  listApiKeys: { method: "GET", path: "/v1/api-keys" },
  deleteApiKey: { method: "DELETE", path: "/v1/api-keys/{id}" },
  createTeam: { method: "POST", path: "/v1/teams" },
  listTeams: { method: "GET", path: "/v1/teams" },
  getTeam: { method: "GET", path: "/v1/teams/{team_id}" },
  renameTeam: { method: "PATCH", path: "/v1/teams/{team_id}" },
  deleteTeam: { method: "DELETE", path: "/v1/teams/{team_id}" },
  inviteMember: { method: "POST", path: "/v1/teams/{team_id}/invitations" },
  listInvitations: { method: "GET", path: "/v1/teams/{team_id}/invitations" },
  deleteInvitation: { method: "DELETE", path: "/v1/teams/{team_id}/invitations/{id}" },
  acceptInvitation: { method: "POST", path: "/v1/invitations/accept" },
  listMembers: { method: "GET", path: "/v1/teams/{team_id}/members" },
  changeRole: { method: "PATCH", path: "/v1/teams/{team_id}/members/{user_id}" },
  removeMember: { method: "DELETE", path: "/v1/teams/{team_id}/members/{user_id}" },
  getUsage: { method: "GET", path: "/v1/teams/{team_id}/usage" },
  setQuotas: { method: "PUT", path: "/v1/teams/{team_id}/quotas" },
  listAuditLog: { method: "GET", path: "/v1/teams/{team_id}/audit-log" },
  createSandbox: { method: "POST", path: "/v1/sandboxes" },
  listSandboxes: { method: "GET", path: "/v1/sandboxes" },
  getSandbox: { method: "GET", path: "/v1/sandboxes/{id}" },
  destroySandbox: { method: "DELETE", path: "/v1/sandboxes/{id}" },
  pauseSandbox: { method: "POST", path: "/v1/sandboxes/{id}/pause" },
  resumeSandbox: { method: "POST", path: "/v1/sandboxes/{id}/resume" },
  pingSandbox: { method: "POST", path: "/v1/sandboxes/{id}/ping" },
  setSandboxTimeout: { method: "POST", path: "/v1/sandboxes/{id}/timeout" },
  getSandboxMetrics: { method: "GET", path: "/v1/sandboxes/{id}/metrics" },
  readSandboxLogs: { method: "GET", path: "/v1/sandboxes/{id}/logs" },
  listSandboxOperations: { method: "GET", path: "/v1/sandboxes/{id}/operations" },
  listProcesses: { method: "GET", path: "/v1/sandboxes/{id}/processes" },
  exec: { method: "POST", path: "/v1/sandboxes/{id}/exec" },
  execStream: { method: "GET", path: "/v1/sandboxes/{id}/exec/stream" },
  readFile: { method: "GET", path: "/v1/sandboxes/{id}/files" },
  writeFile: { method: "PUT", path: "/v1/sandboxes/{id}/files", content: "application/octet-stream" },
  removeFile: { method: "DELETE", path: "/v1/sandboxes/{id}/files" },
  readFileByPost: { method: "POST", path: "/v1/sandboxes/{id}/files/read" },
  streamReadFile: { method: "POST", path: "/v1/sandboxes/{id}/files/stream/read" },
  writeFileForm: { method: "POST", path: "/v1/sandboxes/{id}/files/write", content: "multipart/form-data; boundary=form" },
  streamWriteFileForm: { method: "POST", path: "/v1/sandboxes/{id}/files/stream/write", content: "multipart/form-data; boundary=form" },
  statFile: { method: "GET", path: "/v1/sandboxes/{id}/files/stat" },
  listFiles: { method: "GET", path: "/v1/sandboxes/{id}/files/list" },
  makeDirectory: { method: "POST", path: "/v1/sandboxes/{id}/files/mkdir" },
  moveFile: { method: "POST", path: "/v1/sandboxes/{id}/files/move" },
  watchFiles: { method: "GET", path: "/v1/sandboxes/{id}/files/watch" },
  readTar: { method: "GET", path: "/v1/sandboxes/{id}/files/tar" },
  writeTar: { method: "PUT", path: "/v1/sandboxes/{id}/files/tar", content: "application/x-tar" },
  listTemplates: { method: "GET", path: "/v1/templates" },
  getTemplate: { method: "GET", path: "/v1/templates/{name}" },
  deleteTemplate: { method: "DELETE", path: "/v1/templates/{name}" },
  createSnapshot: { method: "POST", path: "/v1/snapshots" },
  listSnapshots: { method: "GET", path: "/v1/snapshots" },
  deleteSnapshot: { method: "DELETE", path: "/v1/snapshots/{name}" },
  verifySnapshot: { method: "POST", path: "/v1/snapshots/{name}/verify" },
  forkSandbox: { method: "POST", path: "/v1/sandboxes/{id}/fork" },
  listEvents: { method: "GET", path: "/v1/events" },
  streamEvents: { method: "GET", path: "/v1/events/stream" },
  createWebhook: { method: "POST", path: "/v1/webhooks" },
  listWebhooks: { method: "GET", path: "/v1/webhooks" },
  getWebhook: { method: "GET", path: "/v1/webhooks/{id}" },
  updateWebhook: { method: "PATCH", path: "/v1/webhooks/{id}" },
  deleteWebhook: { method: "DELETE", path: "/v1/webhooks/{id}" },
  listWebhookDeliveries: { method: "GET", path: "/v1/webhooks/{id}/deliveries" },
  createTicket: { method: "POST", path: "/v1/tickets" },
} as const satisfies Record<keyof Operations, { method: string; path: string; content?: string }>;
