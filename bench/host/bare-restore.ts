/**
 * The floor of a create: QEMU restored from a golden snapshot by a bare script, as root, without shim, records, users or
 * limits, ending with the answer to `POST /init`, which asks the guest for as much as the agent does. Namespace and overlay
 * are made before.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { access, readFile } from "node:fs/promises";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import { start } from "@wrenn/effects";
import { connectToGuest } from "../../apps/host-agent/src/envd/connect-to-guest.ts";
import { incomingSocketPath, qmpSocketPath, restoreArguments } from "../../apps/host-agent/src/vmm/qemu/arguments.ts";
import { sendStream } from "../../apps/host-agent/src/vmm/qemu/incoming-stream.ts";
import { QmpClient } from "../../apps/host-agent/src/vmm/qemu/qmp.ts";
import type { RestoreSpec } from "../../apps/host-agent/src/vmm/vmm.ts";

export interface BareVm {
  pid: number;
  /** From the start of QEMU to the guest's first instruction. */
  restoreMs: number;
  /** From there to the answer of `POST /init`. */
  hookMs: number;
  stop(): Promise<void>;
}

/** @param address where the host reaches the guest */
export async function bareRestore(
  qemu: Parameters<typeof restoreArguments>[0],
  spec: RestoreSpec,
  namespace: string,
  address: string,
): Promise<BareVm> {
  const signal = AbortSignal.timeout(60_000);
  const startedAt = performance.now();
  const argv = restoreArguments(qemu, spec).map((argument) =>
    argument.replace("fd={tap_fd}", `ifname=${spec.tapName},script=no,downscript=no`),
  );
  const child = start(["nsenter", `--net=/run/netns/${namespace}`, ...argv], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const path = qmpSocketPath(spec.directory);
  while (!(await exists(path))) await setTimeout(2);
  const qmp = await QmpClient.connect(path, signal);
  const capabilities = ["x-ignore-shared", "events"].map((capability) => ({ capability, state: true }));
  await qmp.execute("migrate-set-capabilities", { capabilities }, signal);
  const loaded = qmp.waitFor(({ event, data }) => event === "MIGRATION" && data["status"] === "completed", signal);
  await sendStream(incomingSocketPath(spec.directory), await readFile(spec.statePath), signal);
  await loaded;
  await qmp.execute("cont", {}, signal);
  const runsAt = performance.now();
  await postInit(address, {
    timestamp: new Date().toISOString(),
    entropy: randomBytes(64).toString("base64"),
    hostname: spec.name,
    machineId: randomBytes(16).toString("hex"),
    accessToken: randomBytes(16).toString("hex"),
    envVars: {},
    sandboxId: spec.name,
    templateId: spec.name,
    lifecycleID: spec.name,
  });
  return {
    pid: child.pid ?? 0, // nsenter has become QEMU
    restoreMs: runsAt - startedAt,
    hookMs: performance.now() - runsAt,
    async stop() {
      qmp.close();
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function postInit(address: string, init: object): Promise<void> {
  const socket = await connectToGuest(address, 10_000);
  const headers = { "content-type": "application/json", connection: "close" };
  const request = httpRequest({ method: "POST", path: "/init", headers, createConnection: () => socket });
  request.end(JSON.stringify(init));
  const [answer] = (await once(request, "response")) as [IncomingMessage];
  if (answer.statusCode !== 204) throw new Error(`POST /init: ${answer.statusCode} ${await text(answer)}`);
  answer.resume();
}

/** Files of a golden snapshot. */
export const goldenFiles = (directory: string): { memory: string; state: string; disk: string } => ({
  memory: join(directory, "mem"),
  state: join(directory, "vmstate"),
  disk: join(directory, "disk.qcow2"),
});
