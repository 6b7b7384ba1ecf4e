import type { Operations } from "../openapi/operation.ts";

const params = { id: "sb3k9x0c2m4q8w1z7y5v6u" };

export const execOperations: Operations = {
  "POST /v1/sandboxes/:id/exec": {
    id: "exec",
    tag: "Commands",
    summary: "Run a program to its end",
    description:
      "No shell is in between. The program is killed, with all that it started, when its time is over or the client goes away. Of each output stream the first 8 MiB are kept.",
    usesHost: true,
    errors: ["command_failed", "invalid_state", "stale_incarnation"],
    request: { params, body: { cmd: "sh", args: ["-c", "echo hello; exit 3"], timeout_sec: 20 } },
    answers: {
      200: {
        description: "It ended, whatever its exit code.",
        example: {
          sandbox_id: params.id,
          cmd: "sh",
          stdout: "hello\n",
          stderr: "",
          duration_ms: 12,
          encoding: "utf-8",
          truncated: false,
          exit_code: 3,
          oom: false,
        },
      },
    },
  },
  "GET /v1/sandboxes/:id/exec/stream": {
    id: "execStream",
    tag: "Commands",
    summary: "Follow a program over a WebSocket",
    description:
      "One JSON object per text message. The first frame of the client is `start`, or `connect` for a program that runs already; then come `stdin`, `close_stdin`, `signal`, `resize` and `stop`. The server sends `start`, then `stdout`, `stderr` or `pty` with the `offset` to go on from, and last `exit` or `error`. A browser, which cannot set headers, offers the subprotocols `wrenn.v1` and `wrenn.ticket.<ticket>` (`POST /v1/tickets`).",
    usesHost: true,
    errors: ["invalid_state"],
    request: { params },
    answers: { 101: { description: "The connection is a WebSocket from now on." } },
  },
};
