/**
 * The console in Debian's Chromium, against real VMs: what a person does with it from the first page on, one thing
 * after the other in one browser. Every page that it comes to is audited (audit.ts).
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Locator } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPlatform, type Platform } from "../first-light/platform.ts";
import { leakGate } from "../leaks/gate.ts";
import { audit } from "./audit.ts";
import { DESKTOP, openBrowser, type Browser } from "./browser.ts";
import { CuttableProxy } from "./cuttable-proxy.ts";

const PASSWORD = "correct horse battery staple";

let platform: Platform;
let network: CuttableProxy;
let browser: Browser;
let page: Browser["page"];
/** The sandbox that most of it is about. */
let id: string;

leakGate(() => ({
  stateDirectory: platform.directory,
  directories: [join(platform.directory, "sandboxes")],
  // The database's workers and the browser's processes come and go.
  ignore: (kind, item) => kind === "process" && /postgres|chrom/.test(item),
}));

beforeAll(async () => {
  platform = await startPlatform({ WRENN_SLOT_FIRST: "25500" });
  network = await CuttableProxy.start(platform.url);
  browser = await openBrowser(network.url);
  page = browser.page;
});
afterAll(async () => {
  await browser?.close();
  await network?.[Symbol.asyncDispose]();
  await platform?.stop();
});

const button = (name: string): Locator => page.getByRole("button", { name, exact: true });
const alert = (): Locator => page.getByRole("alert");
const open = async (path: string): Promise<unknown> => await page.goto(`${network.url}/test/#/${path}`);
const openTab = async (tab: string): Promise<void> => await page.getByRole("link", { name: tab, exact: true }).click();
/** Types into the terminal and waits for what is printed. */
async function type(line: string, printed: string | RegExp): Promise<void> {
  await page.locator(".xterm-helper-textarea").focus();
  await page.keyboard.type(`${line}\n`);
  await page.locator(".xterm-rows", { hasText: printed }).waitFor();
}
/** Agrees to what a dialog asks. */
const agree = async (name: string): Promise<void> =>
  await page.getByRole("dialog").getByRole("button", { name }).click();
const connected = async (): Promise<void> => await page.getByText("Connected", { exact: true }).waitFor();

describe("people", () => {
  it("sign up, are told a wrong password, and log in", async () => {
    await page.goto(`${network.url}/test`);
    expect(await audit(browser, "sign-in-key")).toEqual([]);
    await page.getByRole("radio", { name: "Sign up" }).check();
    await page.getByLabel("Email").fill("ada@example.org");
    await page.getByLabel("Password").fill("short");
    await button("Make an account").click();
    await alert().waitFor(); // too short
    expect(await audit(browser, "sign-up-refused")).toEqual([]);
    await page.getByLabel("Password").fill(PASSWORD);
    await button("Make an account").click();
    await page.getByText("No sandboxes yet").waitFor();
    expect(await audit(browser, "sandboxes-empty")).toEqual([]);
    await button("Sign out").click();
    await page.getByRole("radio", { name: "Sign in" }).check();
    await page.getByLabel("Email").fill("ada@example.org");
    await page.getByLabel("Password").fill(`${PASSWORD}!`);
    await button("Go on").click();
    await alert().waitFor();
    await page.getByLabel("Password").fill(PASSWORD);
    await button("Go on").click();
    await page.getByText("ada@example.org").waitFor();
    await button("Sign out").click();
  });

  it("use keys, whose wrong ones are told, make them and delete them", async () => {
    await page.getByRole("radio", { name: "API key" }).check();
    await page.getByRole("textbox", { name: "Key" }).fill("wrn_wrong");
    await button("Go on").click();
    await alert().waitFor();
    await page.getByRole("textbox", { name: "Key" }).fill(platform.apiKey);
    await button("Go on").click();
    await page.getByText("live", { exact: true }).waitFor();
    await openTab("API keys");
    await page.getByLabel("Name of a new key").fill("from the console");
    await button("Make a key").click();
    const key = await page.locator(".new-key code").textContent();
    const use = async () => await fetch(`${platform.url}/v1/sandboxes`, { headers: { "x-api-key": key ?? "" } });
    expect((await use()).status).toBe(200);
    expect(await audit(browser, "keys")).toEqual([]);
    await button("Delete from the console").click();
    expect(await audit(browser, "dialog")).toEqual([]);
    await agree("Delete");
    await page.getByRole("cell", { name: "from the console", exact: true }).waitFor({ state: "detached" });
    expect((await use()).status).toBe(401);
  });
});

/** What is done with one sandbox, in order; the leak gate looks when it is gone. */
const LIFE: Record<string, () => Promise<void>> = {
  "is created, when the quota lets it": async () => {
    const { body: me } = await platform.request("GET", "/v1/auth/me");
    await platform.request("PUT", `/v1/teams/${me.team.id}/quotas`, { running_sandboxes: 0 });
    await open("sandboxes");
    await page.getByRole("link", { name: "Create a sandbox" }).click();
    await page.getByLabel("Label").fill("project=console");
    await button("Create").click();
    await alert().waitFor();
    expect(await audit(browser, "create-refused")).toEqual([]);
    await platform.request("PUT", `/v1/teams/${me.team.id}/quotas`, { running_sandboxes: null });
    await button("Create").click();
    await connected();
    id = /sb[0-9a-z]{20}/.exec(page.url())?.[0] ?? "";
    expect(id).not.toBe("");
  },

  "has a terminal that follows the window, and a shell that outlives a reload and a broken network": async () => {
    await type("mine=$((6*7)); echo set-$mine", "set-42");
    await page.setViewportSize({ width: 820, height: 700 });
    await type("echo \"$(stty size | cut -d' ' -f2)-columns\"", /\d+-columns/);
    const narrow = Number(/(\d+)-columns/.exec((await page.locator(".xterm-rows").textContent()) ?? "")?.[1]);
    await page.setViewportSize(DESKTOP);
    await type("clear; echo \"$(stty size | cut -d' ' -f2)-wide\"", /\d+-wide/);
    const wide = Number(/(\d+)-wide/.exec((await page.locator(".xterm-rows").textContent()) ?? "")?.[1]);
    expect(wide).toBeGreaterThan(narrow);
    await page.reload();
    await connected();
    await page.locator(".xterm-rows", { hasText: `${wide}-wide` }).waitFor(); // what was printed before
    await type('echo "after-reload-$mine"', "after-reload-42");
    network.cut();
    await page.getByText("Connection lost").waitFor();
    expect(await audit(browser, "server-gone")).toEqual([]);
    network.mend();
    await connected();
    await type('echo "after-break-$mine"', "after-break-42");
    await alert().waitFor({ state: "detached" });
    expect(await audit(browser, "terminal")).toEqual([]);
  },

  "runs a line, whose output comes while it runs, over a reload": async () => {
    await openTab("Run");
    await page.getByLabel("Line of shell").fill("echo first; sleep 4; echo problem >&2; exit 3");
    await button("Run").click();
    const output = page.getByLabel("Output");
    await output.getByText("first").waitFor();
    expect(await output.textContent()).not.toContain("problem");
    await page.reload();
    await page.getByText("Ended with 3").waitFor();
    expect(await output.textContent()).toMatch(/first[^]*problem/);
    expect(await audit(browser, "run")).toEqual([]);
  },

  "takes files and gives them back, byte for byte": async () => {
    await openTab("Files");
    const bytes = randomBytes(1_500_000);
    await page.locator('input[type="file"]').setInputFiles({
      name: "bytes #1?.bin",
      mimeType: "application/octet-stream",
      buffer: bytes,
    });
    const [download] = await Promise.all([page.waitForEvent("download"), button("Download bytes #1?.bin").click()]);
    expect((await readFile(await download.path())).equals(bytes)).toBe(true);
    expect(await audit(browser, "files")).toEqual([]);
    await button("Remove bytes #1?.bin").click();
    await agree("Remove");
    await button("Download bytes #1?.bin").waitFor({ state: "detached" });
    await page.getByLabel("Directory").last().fill("/nowhere");
    await button("Go").click();
    await alert().waitFor();
    await page.getByLabel("Directory").last().fill("/etc");
    await button("Go").click();
    await page.reload();
    await page.getByRole("cell", { name: "hostname", exact: true }).waitFor(); // still in /etc
  },

  "shows what it uses, and what to do when an upgrade took the file of that away": async () => {
    const file = /\/assets\/metrics-[^/]+\.js$/;
    await page.route(file, async (route) => await route.fulfill({ status: 404 }));
    await openTab("Metrics");
    await page.getByText("Cannot load this part of the console").waitFor();
    expect(await audit(browser, "part-missing")).toEqual([]);
    await openTab("Run"); // the rest goes on
    await page.getByText("Ended with 3").waitFor();
    await openTab("Metrics");
    await page.unroute(file);
    await button("Reload the page").click();
    await page
      .getByText(/^\d+ of \d+ MiB$/)
      .first()
      .waitFor();
    expect(await page.locator("canvas").count()).toBe(3);
    expect(await audit(browser, "metrics")).toEqual([]);
  },

  "is paused and resumed with its shell, forked, and made a template": async () => {
    await button(`Pause ${id}`).click();
    await page.getByText("It is paused").waitFor();
    expect(await audit(browser, "paused")).toEqual([]);
    await button(`Resume ${id}`).click();
    await openTab("Terminal");
    await connected();
    await type('echo "after-pause-$mine"', "after-pause-42");
    await button(`Snapshot ${id}`).click();
    await page.getByLabel("Name").fill("from-the-console");
    await agree("Make it");
    await page.getByText("It is a template now").waitFor();
    await button(`Fork ${id}`).click();
    await page.getByText("Its fork:").click();
    await connected();
    const fork = /sb[0-9a-z]{20}/.exec(page.url())?.[0] ?? "";
    expect(fork).not.toBe(id);
    await button(`Destroy ${fork}`).click();
    await agree("Destroy");
    await page.getByText("This sandbox is gone").waitFor();
    await open("templates");
    await button("Verify from-the-console").click();
    await page.getByText("every byte is as it was written").waitFor();
    expect(await audit(browser, "templates")).toEqual([]);
    await button("Create a sandbox from from-the-console").click();
    await connected();
    const child = /sb[0-9a-z]{20}/.exec(page.url())?.[0] ?? "";
    await button(`Destroy ${child}`).click();
    await agree("Destroy");
    await page.getByText("This sandbox is gone").waitFor();
    await open("templates");
    await button("Delete from-the-console").click();
    await agree("Delete");
    await page.getByRole("cell", { name: "from-the-console", exact: true }).waitFor({ state: "detached" });
  },

  "tells how long the stages of each operation took": async () => {
    await open(`sandboxes/${id}/operations`);
    for (const operation of ["create", "pause", "resume", "snapshot"])
      await page
        .getByRole("region", { name: `${operation} at` })
        .first()
        .getByRole("listitem")
        .first()
        .waitFor();
    expect(await audit(browser, "operations")).toEqual([]);
  },

  "is in the list, which follows what happens elsewhere, and in the events, also after a reload": async () => {
    await open("sandboxes");
    await page.getByRole("link", { name: id }).waitFor();
    const { body: other } = await platform.request("POST", "/v1/sandboxes", { metadata: { from: "elsewhere" } });
    await page.getByText("from=elsewhere").waitFor();
    expect(await audit(browser, "sandboxes")).toEqual([]);
    await platform.request("DELETE", `/v1/sandboxes/${other.id}`);
    await page.getByText("from=elsewhere").waitFor({ state: "detached" });
    await openTab("Events");
    await page.reload();
    await page.getByRole("link", { name: other.id }).first().waitFor();
    expect(await audit(browser, "events")).toEqual([]);
    await open(`sandboxes/${id}/events`);
    await page.getByRole("cell", { name: "paused", exact: true }).waitFor();
    expect(await audit(browser, "sandbox-events")).toEqual([]);
  },

  "is destroyed": async () => {
    await open("sandboxes");
    await button(`Destroy ${id}`).click();
    await agree("Destroy");
    await page.getByText("No sandboxes yet").waitFor();
  },
};

it("takes a sandbox through its life", { timeout: 600_000 }, async () => {
  for (const [step, work] of Object.entries(LIFE)) {
    try {
      await work();
    } catch (cause) {
      await browser.shoot("failed");
      throw new Error(`a sandbox ${step}: ${(cause as Error).message}`, { cause });
    }
  }
  expect(browser.problems).toEqual([]);
});

it("is used by the keyboard alone", async () => {
  /** Goes on with the Tab key until it is there. */
  const tabTo = async (target: Locator): Promise<void> => {
    for (let n = 0; n < 40; n++) {
      if (await target.evaluate((element) => element.matches(":focus"))) return;
      await page.keyboard.press("Tab");
    }
    throw new Error("The Tab key does not come to it");
  };
  await open("sandboxes");
  await page.reload();
  await page.getByRole("link", { name: "Create a sandbox" }).waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter"); // "Skip to the content"
  await tabTo(page.getByRole("link", { name: "Create a sandbox" }));
  await page.keyboard.press("Enter");
  await tabTo(button("Create"));
  await page.keyboard.press("Enter");
  await connected();
  const made = /sb[0-9a-z]{20}/.exec(page.url())?.[0] ?? "";
  await page.keyboard.type("echo by-$((1+1))-keys\n");
  await page.locator(".xterm-rows", { hasText: "by-2-keys" }).waitFor();
  await page.keyboard.press("Shift+Escape"); // the terminal takes Tab
  await page.keyboard.press("Shift+Tab");
  await page.reload();
  await connected();
  await page.keyboard.press("Shift+Escape");
  await tabTo(button(`Destroy ${made}`));
  await page.keyboard.press("Enter");
  await tabTo(page.getByRole("dialog").getByRole("button", { name: "Destroy" }));
  await page.keyboard.press("Enter");
  await page.getByText("This sandbox is gone").waitFor();
  expect(browser.problems).toEqual([]);
});

it("shows the reference without anything from elsewhere", async () => {
  await page.goto(`${network.url}/docs`);
  await page.getByText("Create a sandbox", { exact: true }).first().waitFor();
  await browser.shoot("docs");
  expect(browser.outside).toEqual([]);
});

it("ends, having asked nobody else for anything, and run no script that is not the server's own", async () => {
  const policy = (await fetch(`${platform.url}/test/`)).headers.get("content-security-policy") ?? "";
  expect(policy).toContain("default-src 'none'; script-src 'self';");
  expect(browser.outside).toEqual([]);
  expect(browser.problems).toEqual([]);
});
