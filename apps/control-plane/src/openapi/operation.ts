/** What a route says about itself beyond the schemas that validate it. Every capability has an `operations.ts`. */
import type { ErrorCode } from "@wrenn/errors";

/** Sections of the reference, in its order. */
export const TAGS = {
  Sandboxes: "Virtual machines: make, look at, pause, resume, destroy.",
  Commands: "Processes in a sandbox, to their end or as a stream.",
  Files: "Files in a sandbox.",
  Snapshots: "A sandbox's memory and disk, kept; and what is made from them.",
  Templates: "What sandboxes are made from.",
  Events: "What happens, as it happens.",
  Metrics: "What sandboxes use.",
  Webhooks: "Events, sent to a URL of yours.",
  Accounts: "Users and their sessions.",
  Teams: "Who belongs together, and what they may use.",
  Keys: "API keys.",
  Platform: "The platform itself.",
} as const;
export type Tag = keyof typeof TAGS;

/** One answer that is a success. Its schema is the route's own `response` of that status. */
export interface Answer {
  description: string;
  example?: unknown;
  /** `application/json` unless told; for others the body is bytes or text. */
  contentType?: string;
  headers?: Record<string, string>;
}

export interface Operation {
  /** Unique; also the name by which the SDK calls it. */
  id: string;
  tag: Tag;
  /** One line, imperative, without a full stop. */
  summary: string;
  description?: string;
  /** Codes that this operation answers with, beyond those that every one of its kind may. */
  errors?: readonly ErrorCode[];
  /** Asks the host agent or a guest, which may not answer, be full or be slow. */
  usesHost?: boolean;
  /** Needs no credentials; below /v1, auth/access.ts says so instead. */
  open?: boolean;
  /** A request that works; `id` of a path stands for a thing that exists. */
  request?: {
    params?: Record<string, string>;
    query?: Record<string, string | number | boolean>;
    headers?: Record<string, string>;
    body?: unknown;
    /** Of the body; `application/json` unless told. */
    contentType?: string;
  };
  /** By status. */
  answers: Record<number, Answer>;
}

/** By method and path, as Fastify knows them: `GET /v1/sandboxes/:id`. */
export type Operations = Readonly<Record<string, Operation>>;
