/**
 * The documentation and the API's reference in Debian's Chromium, served by a real control plane, with
 * everything else out of reach. Screenshots go to WRENN_TEST_SCREENSHOTS when it is set.
 */
import { mkdir } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestServer } from "../../apps/control-plane/src/database/test-database.ts";
import { startTestApp, type TestApp } from "../../apps/control-plane/src/test-app.ts";
import { readSite } from "../../packages/docs-site/src/index.ts";

const REPOSITORY = join(import.meta.dirname, "../..");
const SCREENSHOTS = process.env["WRENN_TEST_SCREENSHOTS"];
const DESKTOP = { width: 1_200, height: 900 };
const PHONE = { width: 390, height: 844 };

let server: TestServer;
let test: TestApp;
let url: string;
let browser: Browser;
let page: Page;
let problems: string[];

beforeAll(async () => {
  server = await TestServer.start();
  test = await startTestApp(await server.newDatabase());
  await test.app.listen({ port: 0, host: "127.0.0.1" });
  url = `http://127.0.0.1:${(test.app.server.address() as AddressInfo).port}`;
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
});
afterAll(async () => {
  await browser?.close();
  await test?.stop();
  await server?.stop();
});
beforeEach(async () => {
  problems = [];
  page = await browser.newPage({ viewport: DESKTOP });
  await page.route(
    (address) => !address.href.startsWith(url) && !/^(?:data|blob):/.test(address.href),
    async (route) => {
      problems.push(`asks for ${route.request().url()}`);
      await route.abort();
    },
  );
  page.on("pageerror", ({ message }) => problems.push(message));
  page.on("console", (message) => {
    if (message.type() === "error") problems.push(message.text());
  });
});
afterEach(async () => {
  await page.close();
});

async function shoot(name: string): Promise<void> {
  if (SCREENSHOTS === undefined) return;
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}

describe("the documentation", () => {
  it("fits a phone and a desktop, page by page", async () => {
    for (const { url: path, title } of await readSite(REPOSITORY)) {
      await page.goto(url + path);
      for (const viewport of [DESKTOP, PHONE]) {
        await page.setViewportSize(viewport);
        const width = await page.evaluate("document.documentElement.scrollWidth");
        expect({ path, width }).toEqual({ path, width: viewport.width });
      }
      expect(problems).toEqual([]);
      expect(await page.title()).toBe(`${title.replaceAll("`", "")} · Wrenn`);
    }
  });

  it("leads from the menu to the text, on a phone too, light and dark", async () => {
    await page.goto(`${url}/guide`);
    await shoot("guide");
    await page.getByRole("navigation").getByRole("link", { name: "How it works", exact: true }).click();
    await page.getByRole("heading", { name: "Pause and resume" }).waitFor();
    await shoot("how-it-works");
    await page.emulateMedia({ colorScheme: "dark" });
    await shoot("how-it-works-dark");
    const ground = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor");
    expect(ground).toBe("rgb(18, 20, 23)");
    await page.setViewportSize(PHONE);
    await shoot("how-it-works-phone-dark");
    await page.getByRole("link", { name: "Menu" }).click();
    await page.getByRole("link", { name: "Benchmarks", exact: true }).click();
    await page.emulateMedia({ colorScheme: "light" });
    await page.getByRole("heading", { name: "Benchmarks", exact: true }).waitFor();
    await shoot("benchmarks-phone");
    expect(problems).toEqual([]);
  });
});

describe("the API's reference", () => {
  it("shows every operation, and calls one, with nothing from elsewhere", async () => {
    const document = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: Record<string, object> };
    const operations = Object.values(document.paths).flatMap((methods) => Object.keys(methods));
    await page.goto(`${url}/docs`);
    await page.locator(".opblock").first().waitFor();
    expect(await page.locator(".opblock").count()).toBe(operations.length);
    const links = await page
      .locator("a[href]")
      .evaluateAll((all) => all.map((link) => (link as unknown as { href: string }).href));
    expect(links.filter((href) => !href.startsWith(url))).toEqual([]);
    await shoot("docs");
    const health = page.locator(".opblock", { hasText: "/health" }).first();
    await health.locator(".opblock-summary-control").click();
    await health.getByRole("button", { name: "Execute" }).click();
    await health.locator(".live-responses-table", { hasText: '"ok"' }).waitFor();
    await shoot("docs-tried");
    await page.setViewportSize(PHONE);
    await shoot("docs-phone");
    expect(problems).toEqual([]);
  });
});
