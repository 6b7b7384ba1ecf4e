import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { patient } from "../../../../tests/config.ts";
import { leakGate } from "../../../../tests/leaks/gate.ts";
import { Stages } from "../sandbox/stages.ts";
import { memoryPathOf } from "../snapshot/layer.ts";
import { flattenLayer } from "../snapshot/rewrite-layer.ts";
import { flipByte } from "../testing/flip-byte.ts";
import { startTestHost, type TestHost } from "../testing/host-fixture.ts";
import { digestOfLayer } from "./memory-digest.ts";
import { checkRestore } from "./restore-check.ts";

const signal = (): AbortSignal => AbortSignal.timeout(patient(120_000));
let host: TestHost;
leakGate(() => ({ stateDirectory: host.stateDirectory, directories: [`${host.stateDirectory}/sandboxes`] }));

beforeAll(async () => {
  host = await startTestHost();
});
afterAll(async () => {
  await host?.stop();
});

it("lets a flattened layer pass, and refuses it when one bit of its memory is another one", async () => {
  const resources = { ...host.request().resources, memoryMib: 256 };
  const { sandbox } = await host.manager.create(host.request({ resources }));
  const parent = join(host.stateDirectory, "flat");
  await mkdir(parent, { mode: 0o711 });
  const { layer, digest } = await flatten(sandbox.id, parent);
  const check = async (): Promise<void> =>
    await checkRestore(
      layer,
      { name: "trial", directory: join(parent, "check"), diskMib: resources.diskMib, digest },
      { vmm: host.vmm, network: host.network, disks: host.disks },
      new Stages(),
      signal(),
    );
  await check();
  await flipByte(memoryPathOf(layer.directory), 100 * 1024 * 1024 + 123);
  await expect(check()).rejects.toThrow("its memory comes back as another one");
  await host.manager.destroy(sandbox.id, 0);
});

async function flatten(id: string, parent: string) {
  using held = await host.manager.holdPresentLayer(id, 1);
  const target = { buildId: "flat", parent, diskDirectory: parent, diskId: "disk" };
  const tools = { pager: host.pager, disks: host.disks };
  const layer = await flattenLayer(held.layer, target, undefined, tools, signal());
  return { layer, digest: await digestOfLayer(held.layer, signal()) };
}
