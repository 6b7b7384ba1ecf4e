/** The console in Debian's Chromium, against real VMs. Screenshots go to WRENN_TEST_SCREENSHOTS when it is set. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startPlatform, type Platform } from "../first-light/platform.ts";
import { leakGate } from "../leaks/gate.ts";

const SCREENSHOTS = process.env["WRENN_TEST_SCREENSHOTS"];
const PATIENCE_MS = 30_000;

let platform: Platform;
let browser: Browser;
let page: Page;
const outside: string[] = [];
const problems: string[] = [];

leakGate(() => ({
  stateDirectory: platform.directory,
  directories: [join(platform.directory, "sandboxes")],
  // The database's workers and the browser's processes come and go.
  ignore: (kind, item) => kind === "process" && /postgres|chrom/.test(item),
}));

beforeAll(async () => {
  platform = await startPlatform({ WRENN_SLOT_FIRST: "25500" });
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  page = await browser.newPage({ viewport: { width: 1_200, height: 800 } });
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("request", (request) => {
    if (!/^(?:data|blob):/.test(request.url()) && !request.url().startsWith(platform.url)) outside.push(request.url());
  });
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("dialog", (dialog) => void dialog.accept());
});
afterAll(async () => {
  await browser?.close();
  await platform?.stop();
});

async function shoot(name: string): Promise<void> {
  if (SCREENSHOTS === undefined) return;
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}

const button = (name: string) => page.getByRole("button", { name, exact: true });

it("drives a sandbox from its creation to its end", { timeout: 300_000 }, async () => {
  await page.goto(`${platform.url}/test`);
  await page.getByLabel("API key").fill("wrn_wrong");
  await button("Sign in").click();
  await page.getByRole("alert").waitFor(); // a wrong key is told
  await shoot("sign-in-wrong");
  await page.getByLabel("API key").fill(platform.apiKey);
  await button("Sign in").click();
  await page.getByText("No sandboxes yet").waitFor();
  await page.getByText("live", { exact: true }).waitFor();
  await shoot("empty");

  await button("Create…").click();
  await button("Create").click();
  await page.getByText("Connected", { exact: true }).waitFor();
  const id = /sb[0-9a-z]{20}/.exec(page.url())?.[0] ?? "";

  // a shell in a terminal
  await page.locator(".xterm-helper-textarea").focus();
  await page.keyboard.type("echo $((6*7))-terminal; stty size\n");
  await page.locator(".xterm-rows", { hasText: "42-terminal" }).waitFor();
  await shoot("terminal");
  await page.setViewportSize({ width: 800, height: 700 });
  await page.reload(); // nothing is lost: the same sandbox, the same part of it
  await page.getByText("Connected", { exact: true }).waitFor();
  await page.setViewportSize({ width: 1_200, height: 800 });

  await page.getByRole("link", { name: "Run", exact: true }).click();
  await page.getByLabel("Line of shell").fill("echo first; echo problem >&2; exit 3");
  await button("Run").click();
  await page.getByText("Ended with 3").waitFor();
  expect(await page.getByLabel("Output").textContent()).toMatch(/first[^]*problem|problem[^]*first/);
  await shoot("run");

  await page.getByRole("link", { name: "Files", exact: true }).click();
  await page.locator('input[type="file"]').setInputFiles({
    name: "note.txt",
    mimeType: "text/plain",
    buffer: Buffer.from("kept"),
  });
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download note.txt" }).click(),
  ]);
  expect(download.suggestedFilename()).toBe("note.txt");
  await shoot("files");

  await page.getByRole("link", { name: "Metrics", exact: true }).click();
  await page.getByText(/^Memory: \d/).waitFor();
  await shoot("metrics");

  await button("Pause").click();
  await page.getByText("It is paused. Resume it to go on.").waitFor();
  await button("Resume").click();
  await page.getByText(/^Memory: \d/).waitFor();

  // the list follows what happens elsewhere
  await page.goto(`${platform.url}/test/#/sandboxes`);
  await page.getByRole("link", { name: id }).waitFor();
  const other = await platform.request("POST", "/v1/sandboxes", { metadata: { from: "elsewhere" } });
  await page.getByText("from=elsewhere").waitFor();
  await shoot("list");
  await page.emulateMedia({ colorScheme: "dark" });
  await shoot("list-dark");
  await page.setViewportSize({ width: 390, height: 844 });
  await shoot("list-phone");
  await page.goto(`${platform.url}/test/#/sandboxes/${id}/terminal`);
  await page.getByText("Connected", { exact: true }).waitFor();
  await shoot("terminal-phone");
  await page.setViewportSize({ width: 1_200, height: 800 });
  await page.emulateMedia({ colorScheme: "light" });

  await page.goto(`${platform.url}/test/#/events`);
  await page.getByRole("cell", { name: "running" }).first().waitFor();
  await shoot("events");

  await page.goto(`${platform.url}/test/#/keys`);
  await page.getByLabel("Name").fill("from the console");
  await button("Make a key").click();
  await page.getByText("This is shown once").waitFor();
  await shoot("keys");
  await page.getByRole("link", { name: "Templates" }).click();
  await page.getByRole("button", { name: "Use base" }).waitFor();
  await shoot("templates");

  await page.goto(`${platform.url}/test/#/sandboxes/${id}`);
  await button("Destroy").click();
  await page.getByText("This sandbox is gone.").waitFor();
  await platform.request("DELETE", `/v1/sandboxes/${other.body.id}`);
  await page.goto(`${platform.url}/test/#/sandboxes`);
  await page.getByText("No sandboxes yet").waitFor();

  expect(outside).toEqual([]);
  expect(problems).toEqual([]);
});

it("shows the reference without anything from elsewhere", async () => {
  await page.goto(`${platform.url}/docs`);
  await page.getByText("Create a sandbox", { exact: true }).first().waitFor();
  await shoot("docs");
  expect(outside).toEqual([]);
  expect(problems).toEqual([]);
});
