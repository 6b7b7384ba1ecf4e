/** The SDK as others get it: packed, installed from the archive in an empty project, and used there against a real platform. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { patient } from "../config.ts";
import { run } from "../../packages/effects/src/index.ts";
import { startPlatform, type Platform } from "../first-light/platform.ts";
import { leakGate } from "../leaks/gate.ts";
import { otherRuntimes } from "./other-runtimes.ts";
import { newConsumer, snippetsOf, type Consumer } from "./consumer.ts";

const EXPECTED = {
  run: `${2n ** 100n}\n`,
  "exit code": 3,
  follow: "number; stdout hello you 10; exit 0",
  text: "kept",
  stream: "107 101 112 116",
  watched: "new",
  listed: true,
  abort: "enough",
  "abort of a stream": "enough",
  "after using": "gone",
  "last event": "sandbox.gone",
  error: ["not_found", 404, "string", "string"],
};
const MAIN = `import { Wrenn } from "@wrenn/sdk";
import { use } from "./usage.js";
declare const process: { env: Record<string, string | undefined> };
console.log(JSON.stringify(await use(Wrenn.fromEnv(process.env))));
`;
const PAGE = `<!doctype html><script type="importmap">{"imports":{"@wrenn/sdk":"/theirs/node_modules/@wrenn/sdk/index.js"}}</script>`;

const FULL = process.env["WRENN_TEST_FULL"] === "1";

let platform: Platform;
let theirs: Consumer;

leakGate(() => ({
  stateDirectory: platform.directory,
  directories: [join(platform.directory, "sandboxes")],
  // The database's workers and the browser's processes come and go.
  ignore: (kind, item) => kind === "process" && /postgres|chrom/.test(item),
}));

beforeAll(async () => {
  [platform, theirs] = await Promise.all([startPlatform({ WRENN_SLOT_FIRST: "26000" }), newConsumer()]);
  await theirs.compile("usage", await readFile(join(import.meta.dirname, "usage.ts"), "utf8"));
  await theirs.compile("main", MAIN);
});
afterAll(async () => {
  await theirs?.[Symbol.asyncDispose]();
  await platform?.stop();
});

/** Runs one of their compiled modules; @returns what it printed. */
async function runTheirs(runtime: readonly [string, ...string[]], name: string): Promise<string> {
  const env = { WRENN_API_URL: platform.url, WRENN_API_KEY: platform.apiKey };
  return (await run([...runtime, join(theirs.directory, `built/${name}.js`)], { env, timeoutMs: patient(150_000) }))
    .stdout;
}

describe("the packed SDK", () => {
  it("holds what it needs, and nothing else", () => {
    const others = theirs.packed.filter((path) => !/^[\w-]+\.(?:js|d\.ts)$/.test(path));
    expect(others.toSorted()).toEqual(["LICENSE", "README.md", "package.json"]);
    expect(theirs.packed).toEqual(expect.arrayContaining(["index.js", "index.d.ts"]));
  });

  it("works in Node", async () => {
    expect(JSON.parse(await runTheirs([process.execPath], "main"))).toEqual(EXPECTED);
  });

  it.runIf(FULL).each(["deno", "bun"] as const)("works in %s", { timeout: patient(600_000) }, async (name) => {
    const runtimes = await otherRuntimes(AbortSignal.timeout(patient(300_000)));
    expect(JSON.parse(await runTheirs(runtimes[name], "main"))).toEqual(EXPECTED);
  });

  it("works in a browser, on a page of the platform", async () => {
    // an intercepted page has no address, which Chromium takes for one of the internet
    const args = ["--no-sandbox", "--disable-features=LocalNetworkAccessChecks"];
    await using browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
    const page = await browser.newPage();
    await page.route(`${platform.url}/theirs/**`, async (route) => {
      const path = new URL(route.request().url()).pathname.replace("/theirs/", "");
      if (path === "") return await route.fulfill({ contentType: "text/html", body: PAGE });
      await route.fulfill({ contentType: "text/javascript", body: await readFile(join(theirs.directory, path)) });
    });
    await page.goto(`${platform.url}/theirs/`);
    // as text: the test runner would turn import() into its own
    const seen = await page.evaluate(`(async () => {
      const [{ Wrenn }, { use }] = [await import("@wrenn/sdk"), await import("/theirs/built/usage.js")];
      return await use(new Wrenn({ apiKey: ${JSON.stringify(platform.apiKey)} }));
    })()`);
    expect(seen).toEqual(EXPECTED);
  });

  it("does what its README shows", async () => {
    await theirs.compile("readme", await snippetsOf("packages/sdk/README.md"));
    const printed = (await runTheirs([process.execPath], "readme")).trim().split("\n");
    expect(printed).toEqual([
      `0 ${2n ** 100n}`,
      "",
      "hello you",
      "",
      "ended with 0",
      "the build ended with 0",
      "kept",
      "today.txt 4",
      "changed: today.txt",
      "keptmore",
      "",
      expect.stringMatching(/^(?:base|minimal)$/),
      expect.stringMatching(/^(?:base|minimal)$/),
      "not_found 404",
    ]);
  });
});
