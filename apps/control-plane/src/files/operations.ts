import type { Operations } from "../openapi/operation.ts";

const params = { id: "sb3k9x0c2m4q8w1z7y5v6u" };

const FILE_ERRORS = ["invalid_state", "stale_incarnation"] as const;

const file = {
  name: "os-release",
  path: "/etc/os-release",
  type: "file",
  size: 267,
  mode: 420,
  permissions: "-rw-r--r--",
  owner: "root",
  group: "root",
  modified_at: "2026-11-01T12:00:00.000Z",
};
const directory = {
  ...file,
  name: "src",
  path: "/home/user/project/src",
  type: "directory",
  mode: 493,
  permissions: "drwxr-xr-x",
  owner: "user",
  group: "user",
};

const readByPost = {
  tag: "Files",
  description: "As GET, for clients that cannot put a path into a URL.",
  usesHost: true,
  errors: FILE_ERRORS,
  request: { params, body: { path: "/etc/os-release" } },
  answers: {
    200: { description: "The file.", contentType: "application/octet-stream" },
    206: { description: "The part that `Range` asked for.", contentType: "application/octet-stream" },
  },
} as const;

const writeForm = {
  tag: "Files",
  description:
    "`multipart/form-data` with the parts `path` (text; or in the query) and `file`, in either order, streamed, without a limit of size.",
  usesHost: true,
  errors: ["already_exists", "conflict", ...FILE_ERRORS],
  request: {
    params,
    contentType: "multipart/form-data; boundary=form",
    body: '--form\r\nContent-Disposition: form-data; name="path"\r\n\r\nnotes/form.txt\r\n--form\r\nContent-Disposition: form-data; name="file"; filename="form.txt"\r\n\r\nkept\n\r\n--form--\r\n',
  },
  answers: { 204: { description: "The guest has all of it." } },
} as const;

export const fileOperations: Operations = {
  "GET /v1/sandboxes/:id/files": {
    id: "readFile",
    tag: "Files",
    summary: "Read a file",
    description:
      "Streamed, without a limit of size; `Range` and `If-Range` are honoured. A transfer that breaks breaks the connection.",
    usesHost: true,
    errors: ["invalid_state", "stale_incarnation"],
    request: { params, query: { path: "/etc/os-release" } },
    answers: {
      200: { description: "The file.", contentType: "application/octet-stream" },
      206: { description: "The part that `Range` asked for.", contentType: "application/octet-stream" },
    },
  },
  "PUT /v1/sandboxes/:id/files": {
    id: "writeFile",
    tag: "Files",
    summary: "Write a file",
    description:
      "The body is the file, whatever its content type says. Missing directories are made. An upload that fails leaves the file that was there as it was.",
    usesHost: true,
    errors: ["invalid_state", "stale_incarnation"],
    request: {
      params,
      query: { path: "notes/today.txt" },
      contentType: "application/octet-stream",
      body: "kept\n",
    },
    answers: {
      200: { description: "The guest has all of it.", example: { path: "notes/today.txt", size: 5 } },
    },
  },
  "POST /v1/sandboxes/:id/files/read": {
    ...readByPost,
    id: "readFileByPost",
    summary: "Read a file whose path is in the body",
  },
  "POST /v1/sandboxes/:id/files/stream/read": {
    ...readByPost,
    id: "streamReadFile",
    summary: "Read a file whose path is in the body (another name)",
  },
  "POST /v1/sandboxes/:id/files/write": { ...writeForm, id: "writeFileForm", summary: "Write a file from a form" },
  "POST /v1/sandboxes/:id/files/stream/write": {
    ...writeForm,
    id: "streamWriteFileForm",
    summary: "Write a file from a form (another name)",
  },
  "POST /v1/sandboxes/:id/files/mkdir": {
    id: "makeDirectory",
    tag: "Files",
    summary: "Make a directory",
    description: "With its parents. `already_exists` when it is there.",
    usesHost: true,
    errors: ["already_exists", ...FILE_ERRORS],
    request: { params, body: { path: "project/src" } },
    answers: { 201: { description: "The directory.", example: directory } },
  },
  "GET /v1/sandboxes/:id/files/stat": {
    id: "statFile",
    tag: "Files",
    summary: "Describe a file or directory",
    usesHost: true,
    errors: FILE_ERRORS,
    request: { params, query: { path: "/etc/os-release" } },
    answers: { 200: { description: "The file or directory.", example: file } },
  },
  "GET /v1/sandboxes/:id/files/list": {
    id: "listFiles",
    tag: "Files",
    summary: "List a directory",
    description: "A directory comes before what is in it.",
    usesHost: true,
    errors: FILE_ERRORS,
    request: { params, query: { path: "/etc" } },
    answers: { 200: { description: "What is in it.", example: [file] } },
  },
  "POST /v1/sandboxes/:id/files/move": {
    id: "moveFile",
    tag: "Files",
    summary: "Move a file or directory",
    description: "Takes the place of a file that is at the destination; makes missing directories.",
    usesHost: true,
    errors: ["already_exists", "conflict", ...FILE_ERRORS],
    request: { params, body: { source: "notes/today.txt", destination: "notes/yesterday.txt" } },
    answers: { 200: { description: "It, where it is now.", example: file } },
  },
  "DELETE /v1/sandboxes/:id/files": {
    id: "removeFile",
    tag: "Files",
    summary: "Remove a file, or a directory and all below it",
    description: "Harmless when it is not there.",
    usesHost: true,
    errors: FILE_ERRORS,
    request: { params, query: { path: "notes/yesterday.txt" } },
    answers: { 204: { description: "It is not there." } },
  },
  "GET /v1/sandboxes/:id/files/watch": {
    id: "watchFiles",
    tag: "Files",
    summary: "Watch a directory over a WebSocket",
    description:
      "One JSON object per text message: `start` once everything that changes from then on is told, then `create`, `write`, `remove`, `rename` and `chmod` with the `name` in the directory, and last `error`.",
    usesHost: true,
    errors: ["invalid_state"],
    request: { params, query: { path: "/tmp" } },
    answers: { 101: { description: "The connection is a WebSocket from now on." } },
  },
  "GET /v1/sandboxes/:id/files/tar": {
    id: "readTar",
    tag: "Files",
    summary: "Read a directory as a tar archive",
    description:
      "With all below it, streamed. Made by the guest's own `tar`. A transfer that breaks breaks the connection.",
    usesHost: true,
    errors: ["command_failed", ...FILE_ERRORS],
    request: { params, query: { path: "/etc/apt" } },
    answers: { 200: { description: "The archive.", contentType: "application/x-tar" } },
  },
  "PUT /v1/sandboxes/:id/files/tar": {
    id: "writeTar",
    tag: "Files",
    summary: "Unpack a tar archive into a directory",
    description:
      "The guest's own `tar` unpacks it, compressed or not, when all of it has arrived; a transfer that breaks changes nothing. The directory is made when it is missing.",
    usesHost: true,
    errors: ["command_failed", "already_exists", ...FILE_ERRORS],
    request: { params, query: { path: "project" }, contentType: "application/x-tar", body: "" },
    answers: { 200: { description: "It is unpacked.", example: { path: "project", size: 10_240 } } },
  },
};
