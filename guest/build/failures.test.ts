import { describe, expect, it } from "vitest";
import { WrennError } from "@wrenn/errors";
import { buildFailure } from "./failures.ts";

const never = new AbortController().signal;

function failedTool(stderr: string): WrennError {
  const cause = Object.assign(new Error("exit status 100"), { stderr });
  return new WrennError("internal", "Cannot run apt-get: exit status 100", { cause });
}

describe("buildFailure()", () => {
  it.each([
    ["dpkg-deb: error: cannot write: No space left on device", "storage_full"],
    ["E: You don't have enough free space in /x/archives/.", "storage_full"],
    ["W: Failed to fetch http://m/InRelease  Temporary failure resolving 'm'", "missing_requirement"],
    ["E: Failed to fetch http://m/x.deb  404  Not Found", "missing_requirement"],
    ["Err: Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)", "missing_requirement"],
    ["W: GPG error: http://m bookworm InRelease: NO_PUBKEY 0E98404D386FA1D9", "missing_requirement"],
    ["something else", "internal"],
  ])("reads %j as %s", (stderr, code) => {
    expect(buildFailure("build the guest", failedTool(stderr), never, "/state").code).toBe(code);
  });

  it("tells a bad signature from a missing mirror", () => {
    const error = buildFailure(
      "build the guest",
      failedTool("W: GPG error: NO_PUBKEY 0E98\nE: Failed to fetch http://m/InRelease"),
      never,
      "/state",
    );
    expect(error.hint).toContain("debian-archive-keyring");
  });

  it("calls whatever follows a cancellation canceled", () => {
    const error = buildFailure("build the guest", failedTool("No space left on device"), AbortSignal.abort(), "/state");
    expect(error.code).toBe("canceled");
  });

  it("keeps an error that already says what to do", () => {
    const error = new WrennError("unsupported", "Cannot build the guest: not Debian", { hint: "Use Debian" });
    expect(buildFailure("build the guest", error, never, "/state")).toBe(error);
  });
});
