import { create } from "@bufbuild/protobuf";
import { hostagent } from "@wrenn/protocol";
import { expect, it } from "vitest";
import type { SandboxRow } from "../database/tables.ts";
import { GuestHealth } from "./guest-health.ts";

const { Health } = hostagent;
const told = (id: string, incarnation: bigint, health: hostagent.Health) =>
  create(hostagent.SandboxSchema, { id, incarnation, health });
const row = (id: string, incarnation: number, state = "running") => ({ id, incarnation, state }) as SandboxRow;

it("tells what the host told last of a guest that runs, in the incarnation that it told it of", () => {
  const health = new GuestHealth();
  expect(health.of(row("sb1", 1))).toBeUndefined();
  health.note(told("sb1", 1n, Health.RESPONSIVE));
  expect(health.of(row("sb1", 1))).toBe("responsive");
  health.note(told("sb1", 1n, Health.BUSY));
  expect(health.of(row("sb1", 1))).toBe("busy");
  expect(health.of(row("sb1", 2))).toBeUndefined(); // resumed meanwhile
  expect(health.of(row("sb1", 1, "pausing"))).toBeUndefined();
  health.note(told("sb1", 1n, Health.UNSPECIFIED)); // it does not run any more
  expect(health.of(row("sb1", 1))).toBeUndefined();
});

it("forgets what a host does not list any more", () => {
  const health = new GuestHealth();
  health.note(told("sb1", 1n, Health.RESPONSIVE));
  health.replace([told("sb2", 3n, Health.UNRESPONSIVE)]);
  expect(health.of(row("sb1", 1))).toBeUndefined();
  expect(health.of(row("sb2", 3))).toBe("unresponsive");
});
