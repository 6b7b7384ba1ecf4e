/**
 * Limits that no schema can say, checked before any work: sums over fields, and what the host and the
 * template allow.
 */
import { LIMITS, type CreateSandboxRequest, type Envs } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { TemplateRow } from "../templates/template-store.ts";

/** What the host has in all. */
export interface HostSize {
  vcpus: number;
  memoryMib: number;
}

/** @throws WrennError `invalid_request` */
export function checkEnvs(envs: Envs | undefined): void {
  if (envs === undefined) return;
  let bytes = 0;
  for (const [name, value] of Object.entries(envs)) bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  if (bytes <= LIMITS.maxEnvBytes) return;
  throw new WrennError(
    "invalid_request",
    `Cannot use envs: they have ${bytes} bytes, more than ${LIMITS.maxEnvBytes}`,
    {
      hint: "Put large values into a file",
    },
  );
}

/** A sandbox that is made from a snapshot goes on in the machine that was frozen: what is asked for gives way. */
export function withLockedResources(request: CreateSandboxRequest, template: TemplateRow): CreateSandboxRequest {
  if (template.kind !== "snapshot") return request;
  const { vcpus: _vcpus, memory_mb: _memory, disk_mb: _disk, ...rest } = request;
  return rest;
}

/** @throws WrennError `invalid_request` */
export function checkResources(request: CreateSandboxRequest, template: TemplateRow, host: HostSize | undefined): void {
  const vcpus = request.vcpus ?? template.vcpus;
  const memoryMib = request.memory_mb ?? template.memory_mib;
  if (host !== undefined && vcpus > host.vcpus) {
    throw tooMuch("vcpus", vcpus, `this host has ${host.vcpus}`);
  }
  if (host !== undefined && memoryMib > host.memoryMib) {
    throw tooMuch("memory_mb", memoryMib, `this host has ${host.memoryMib} MiB`);
  }
  if (request.disk_mb !== undefined && request.disk_mb < template.disk_mib) {
    throw new WrennError(
      "invalid_request",
      `Cannot use disk_mb ${request.disk_mb}: the template ${template.name} has ${template.disk_mib} MiB`,
      {
        hint: `Use ${template.disk_mib} or more, or leave disk_mb out`,
      },
    );
  }
}

function tooMuch(field: string, value: number, limit: string): WrennError {
  return new WrennError("invalid_request", `Cannot use ${field} ${value}: ${limit}`, { hint: "Ask for less" });
}
