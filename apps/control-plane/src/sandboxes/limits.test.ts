import { describe, expect, it } from "vitest";
import { CreateSandboxRequest, LIMITS } from "@wrenn/api-schema";
import { compileValidation } from "../http/validation.ts";
import type { TemplateRow } from "../templates/template-store.ts";
import { checkEnvs, checkResources } from "./limits.ts";

const template = { name: "base", vcpus: 1, memory_mib: 512, disk_mib: 2_048 } as TemplateRow;
const host = { vcpus: 2, memoryMib: 4_096 };
const request = (fields: object) =>
  compileValidation(CreateSandboxRequest, { what: "the body", convert: false })(fields) as CreateSandboxRequest;

describe("checkEnvs()", () => {
  it("counts the bytes of names and values together", () => {
    const name = "A".repeat(100);
    const half = "é".repeat((LIMITS.maxEnvBytes / 4 - name.length) / 2);
    const envs = {
      [name]: half,
      [`B${name.slice(1)}`]: half,
      [`C${name.slice(1)}`]: half,
      [`D${name.slice(1)}`]: half,
    };
    expect(() => checkEnvs(envs)).not.toThrow();
    expect(() => checkEnvs({ ...envs, [`D${name.slice(1)}`]: `${half}x` })).toThrow(
      expect.objectContaining({ code: "invalid_request" }),
    );
  });
});

describe("checkResources()", () => {
  it("refuses more than the host has, with the field and the limit", () => {
    expect(() => checkResources(request({ vcpus: 2, memory_mb: 4_096 }), template, host)).not.toThrow();
    expect(() => checkResources(request({ vcpus: 3 }), template, host)).toThrow("Cannot use vcpus 3: this host has 2");
    expect(() => checkResources(request({ memory_mb: 4_097 }), template, host)).toThrow(
      "Cannot use memory_mb 4097: this host has 4096 MiB",
    );
  });

  it("refuses a disk smaller than the template's", () => {
    expect(() => checkResources(request({ disk_mb: 2_048 }), template, host)).not.toThrow();
    expect(() => checkResources(request({ disk_mb: 2_047 }), template, host)).toThrow("Cannot use disk_mb 2047");
  });
});
