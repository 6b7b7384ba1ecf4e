import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ModelHost } from "../../apps/control-plane/src/agent/model-host.ts";
import { describeHostContract } from "./host-contract.ts";

describeHostContract("the model of a host agent", async () => {
  const directory = await fs.mkdtemp(join(tmpdir(), "model-host-"));
  const at = (name: string) => join(directory, name);
  await fs.writeFile(at("token"), "right");
  await fs.writeFile(at("wrong"), "wrong");
  const host = await ModelHost.start({
    socketPath: at("socket"),
    token: "right",
    templates: [{ name: "base", buildId: `bld_${"0".repeat(20)}` }],
  });
  return {
    socketPath: at("socket"),
    tokenFile: at("token"),
    wrongTokenFile: at("wrong"),
    async stop() {
      await host.stop();
      await fs.rm(directory, { recursive: true });
    },
  };
});
