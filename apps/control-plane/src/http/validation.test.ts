import { describe, expect, it } from "vitest";
import { CreateSandboxRequest, ListSandboxesQuery, SignUpRequest } from "@wrenn/api-schema";
import { compileValidation } from "./validation.ts";

const body = compileValidation(CreateSandboxRequest, { what: "the body", convert: false });
const query = compileValidation(ListSandboxesQuery, { what: "the query", convert: true });

describe("compileValidation()", () => {
  it("fills in what was left out, also all of it", () => {
    const defaults = { template: "base", timeout_sec: 300, on_timeout: "destroy" };
    expect(body({})).toEqual(defaults);
    expect(body(undefined)).toEqual(defaults);
  });

  it("converts texts of a query, but nothing in a body", () => {
    expect(query({ limit: "7" })).toEqual({ limit: 7 });
    expect(() => body({ vcpus: "2" })).toThrow('Cannot use vcpus in the body: it must be integer, not "2"');
  });

  it.each([
    [{ vcpus: 9 }, "Cannot use vcpus in the body: it must be <= 8, not 9"],
    [{ memory: 512 }, "Cannot use memory in the body: there is no such field"],
    [{ on_timeout: "stop" }, 'Cannot use on_timeout in the body: it must be one of destroy, pause, not "stop"'],
    [{ envs: { "1A": "x" } }, 'Cannot use the name "1A" of envs in the body: it must match pattern'],
    [{ envs: { A: "x\u0000" } }, "Cannot use envs.A in the body: it must match pattern"],
    [{ metadata: { a: 1 } }, "Cannot use metadata.a in the body: it must be string, not 1"],
    [[], "Cannot use the body: it must be object"],
    ["text", "Cannot use the body: it must be object"],
  ])("names the field and what is allowed: %j", (value, message) => {
    expect(() => body(value)).toThrow(
      expect.objectContaining({ code: "invalid_request", message: expect.stringContaining(message) }),
    );
  });

  it("repeats no secret", () => {
    const signUp = compileValidation(SignUpRequest, { what: "the body", convert: false });
    expect(() => signUp({ email: "ada@example.org", password: "hunter2" })).toThrow(
      "Cannot use password in the body: it must not have fewer than 8 characters",
    );
    expect(() => signUp({ email: "ada@example.org", password: "hunter2" })).not.toThrow("hunter2");
  });

  it("accepts lists of statuses and refuses other words in them", () => {
    expect(query({ status: "running,paused" })).toMatchObject({ status: "running,paused" });
    expect(() => query({ status: "running,dead" })).toThrow(expect.objectContaining({ code: "invalid_request" }));
  });
});
