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
};

export type SandboxStatus = "creating" | "running" | "pausing" | "paused" | "resuming" | "destroying" | "gone" | "failed";

export type SetTimeout = {
  /** Seconds without activity after which on_timeout happens; 0 means never. */
  timeout_sec: number;
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

/** What every operation takes and answers, by its id. */
export interface Operations {
  /** Tell whether requests can be served. */
  health: {
    input: Record<never, never>;
    answer: Health;
  };
  /** Create a sandbox. */
  createSandbox: {
    input: {
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
    };
    answer: Sandbox;
  };
  /** Resume a paused sandbox. */
  resumeSandbox: {
    input: {
      path: {
        id: string;
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
  /** Set the idle timeout. */
  setSandboxTimeout: {
    input: {
      path: {
        id: string;
      };
      body: SetTimeout;
    };
    answer: Sandbox;
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
}

/** How every operation is asked for. */
export const OPERATIONS = {
  health: { method: "GET", path: "/health" },
  createSandbox: { method: "POST", path: "/v1/sandboxes" },
  listSandboxes: { method: "GET", path: "/v1/sandboxes" },
  getSandbox: { method: "GET", path: "/v1/sandboxes/{id}" },
  destroySandbox: { method: "DELETE", path: "/v1/sandboxes/{id}" },
  pauseSandbox: { method: "POST", path: "/v1/sandboxes/{id}/pause" },
  resumeSandbox: { method: "POST", path: "/v1/sandboxes/{id}/resume" },
  pingSandbox: { method: "POST", path: "/v1/sandboxes/{id}/ping" },
  setSandboxTimeout: { method: "POST", path: "/v1/sandboxes/{id}/timeout" },
  exec: { method: "POST", path: "/v1/sandboxes/{id}/exec" },
  execStream: { method: "GET", path: "/v1/sandboxes/{id}/exec/stream" },
  readFile: { method: "GET", path: "/v1/sandboxes/{id}/files" },
  writeFile: { method: "PUT", path: "/v1/sandboxes/{id}/files", content: "application/octet-stream" },
  listTemplates: { method: "GET", path: "/v1/templates" },
  getTemplate: { method: "GET", path: "/v1/templates/{name}" },
  deleteTemplate: { method: "DELETE", path: "/v1/templates/{name}" },
  createSnapshot: { method: "POST", path: "/v1/snapshots" },
  listSnapshots: { method: "GET", path: "/v1/snapshots" },
  deleteSnapshot: { method: "DELETE", path: "/v1/snapshots/{name}" },
  verifySnapshot: { method: "POST", path: "/v1/snapshots/{name}/verify" },
  forkSandbox: { method: "POST", path: "/v1/sandboxes/{id}/fork" },
} as const satisfies Record<keyof Operations, { method: string; path: string; content?: string }>;
