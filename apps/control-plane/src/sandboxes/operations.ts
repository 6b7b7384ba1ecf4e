import { NEXT_CURSOR_HEADER } from "@wrenn/api-schema";
import type { Operations } from "../openapi/operation.ts";

const params = { id: "sb3k9x0c2m4q8w1z7y5v6u" };

export const SANDBOX_EXAMPLE = {
  id: params.id,
  status: "running",
  template: "base",
  vcpus: 1,
  memory_mb: 512,
  disk_mb: 2_048,
  timeout_sec: 300,
  on_timeout: "destroy",
  metadata: { purpose: "try" },
  created_at: "2026-11-01T12:00:00.000000Z",
  started_at: "2026-11-01T12:00:00.400000Z",
  last_active_at: "2026-11-01T12:00:00.400000Z",
  last_updated: "2026-11-01T12:00:00.400000Z",
};

export const sandboxOperations: Operations = {
  "POST /v1/sandboxes": {
    id: "createSandbox",
    tag: "Sandboxes",
    summary: "Create a sandbox",
    description:
      "Answers when its guest can be used. Every field may be left out, and so may the body. Goes on to its end also when the client goes away. Repeated under the same `Idempotency-Key` it gives the first answer again, with the header `X-Idempotent-Replay`; another request under that key is a `conflict`. A create that failed may be repeated under its key.",
    usesHost: true,
    errors: ["not_found", "conflict", "quota_exceeded"],
    request: {
      headers: { "idempotency-key": "5f0c6f7e-try" },
      body: { template: "base", timeout_sec: 300, metadata: { purpose: "try" } },
    },
    answers: {
      201: { description: "It runs.", headers: { location: "Path of the sandbox." }, example: SANDBOX_EXAMPLE },
    },
  },
  "GET /v1/sandboxes": {
    id: "listSandboxes",
    tag: "Sandboxes",
    summary: "List sandboxes",
    description: "Newest first; without those that are gone unless `status` says so.",
    request: { query: { limit: 10, status: "running,paused" } },
    answers: {
      200: {
        description: "A page of sandboxes.",
        headers: { [NEXT_CURSOR_HEADER]: "Cursor of the next page, while more follows." },
        example: [{ ...SANDBOX_EXAMPLE, health: "responsive" }],
      },
    },
  },
  "GET /v1/sandboxes/:id": {
    id: "getSandbox",
    tag: "Sandboxes",
    summary: "Describe a sandbox",
    request: { params },
    answers: {
      200: {
        description: "The sandbox, in whatever status it is.",
        example: { ...SANDBOX_EXAMPLE, health: "responsive" },
      },
    },
  },
  "DELETE /v1/sandboxes/:id": {
    id: "destroySandbox",
    tag: "Sandboxes",
    summary: "Destroy a sandbox",
    description: "In whatever status it is; harmless when it is gone already.",
    usesHost: true,
    request: { params },
    answers: { 204: { description: "It is gone." } },
  },
  "POST /v1/sandboxes/:id/pause": {
    id: "pauseSandbox",
    tag: "Sandboxes",
    summary: "Pause a sandbox",
    description: "Writes memory and disk, and answers when they are durable. A pause that fails leaves it running.",
    usesHost: true,
    errors: ["invalid_state", "conflict", "quota_exceeded"],
    request: { params, query: { memory: true } },
    answers: { 200: { description: "It is paused.", example: { ...SANDBOX_EXAMPLE, status: "paused" } } },
  },
  "POST /v1/sandboxes/:id/resume": {
    id: "resumeSandbox",
    tag: "Sandboxes",
    summary: "Resume a paused sandbox",
    description: "It goes on where it was paused. A resume that fails leaves it paused.",
    usesHost: true,
    errors: ["invalid_state", "conflict", "incompatible_snapshot", "quota_exceeded"],
    request: { params, query: { memory: true } },
    answers: { 200: { description: "It runs.", example: SANDBOX_EXAMPLE } },
  },
  "POST /v1/sandboxes/:id/ping": {
    id: "pingSandbox",
    tag: "Sandboxes",
    summary: "Count as activity",
    description: "The idle timeout starts again.",
    usesHost: true,
    errors: ["invalid_state", "stale_incarnation"],
    request: { params },
    answers: { 204: { description: "Noted." } },
  },
  "POST /v1/sandboxes/:id/timeout": {
    id: "setSandboxTimeout",
    tag: "Sandboxes",
    summary: "Set the idle timeout, the end, or both",
    description:
      "Counts as activity. `end_in_sec` counts from now, and again from each later resume; null takes the end away. With `only_extend` no deadline is brought nearer.",
    usesHost: true,
    errors: ["invalid_state", "conflict", "stale_incarnation"],
    request: { params, body: { timeout_sec: 600, only_extend: true } },
    answers: { 200: { description: "The sandbox.", example: { ...SANDBOX_EXAMPLE, timeout_sec: 600 } } },
  },
  "GET /v1/sandboxes/:id/metrics": {
    id: "getSandboxMetrics",
    tag: "Metrics",
    summary: "Tell what a sandbox uses",
    description: "Measured in the guest, now. Looking is no activity.",
    usesHost: true,
    errors: ["invalid_state", "stale_incarnation"],
    request: { params },
    answers: {
      200: {
        description: "Its use of processors, memory and disk.",
        example: {
          time: "2026-11-01T12:05:00.000Z",
          cpu_count: 1,
          cpu_used_pct: 3.5,
          memory_used_bytes: 88_080_384,
          memory_total_bytes: 511_705_088,
          memory_cache_bytes: 120_586_240,
          disk_used_bytes: 734_003_200,
          disk_total_bytes: 2_147_483_648,
        },
      },
    },
  },
  "GET /v1/sandboxes/:id/logs": {
    id: "readSandboxLogs",
    tag: "Sandboxes",
    summary: "Read the console",
    description:
      "What the virtual machine wrote to its console: the kernel, and what the guest's own services say. The last 256 KiB are kept. With `follow` the answer goes on until the sandbox stops. Looking is no activity.",
    usesHost: true,
    request: { params },
    answers: { 200: { description: "The console.", contentType: "text/plain" } },
  },
  "GET /v1/sandboxes/:id/operations": {
    id: "listSandboxOperations",
    tag: "Metrics",
    summary: "Tell what was done to a sandbox",
    description:
      "Creates, pauses, resumes and so on with the stages that each went through, oldest first. The host keeps the newest few hundred; they go with the sandbox. Looking is no activity.",
    usesHost: true,
    request: { params },
    answers: {
      200: {
        description: "The operations.",
        example: [
          {
            operation: "create",
            incarnation: 1,
            started_at: "2026-11-01T12:00:00.000Z",
            duration_ms: 312.4,
            stages: [
              { name: "slot", start_ms: 4.1, duration_ms: 2.3, bytes: 0 },
              { name: "restore", start_ms: 6.6, duration_ms: 98.2, bytes: 0 },
              { name: "hook", start_ms: 105.3, duration_ms: 204.7, bytes: 0 },
            ],
          },
        ],
      },
    },
  },
  "GET /v1/sandboxes/:id/processes": {
    id: "listProcesses",
    tag: "Commands",
    summary: "List the running programs",
    description: "Those that were started through the API; `exec/stream` goes on with one by its `pid`.",
    usesHost: true,
    errors: ["invalid_state", "stale_incarnation"],
    request: { params },
    answers: {
      200: {
        description: "The programs.",
        example: [{ pid: 512, cmd: "sh", args: ["-c", "sleep 60"], cwd: "/home/user" }],
      },
    },
  },
};
