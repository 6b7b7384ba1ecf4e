import { expect, it } from "vitest";
import { operationViewOf } from "./operation-view.ts";

const record = {
  operation: "pause",
  incarnation: 2,
  startedAt: "2026-11-01T12:00:00.000Z",
  durationMs: 20,
  stages: [{ name: "capture", startMs: 1, durationMs: 19, bytes: 4_096, pages: { written: 1 } }],
};

it("shows an operation with its stages, in the names of the API", () => {
  expect(operationViewOf(record)).toEqual({
    operation: "pause",
    incarnation: 2,
    started_at: record.startedAt,
    duration_ms: 20,
    stages: [{ name: "capture", start_ms: 1, duration_ms: 19, bytes: 4_096, pages: { written: 1 } }],
  });
});

it("tells why one failed, but not what a defect says of itself", () => {
  const failedWith = (code: string) =>
    operationViewOf({ ...record, error: { code, message: "Cannot pause: /var/lib is full" } }).error;
  expect(failedWith("storage_full")?.message).toContain("is full");
  expect(failedWith("internal")).toEqual({ code: "internal", message: expect.not.stringContaining("/var/lib") });
});
