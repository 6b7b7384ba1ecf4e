/**
 * Debian's Chromium with the console in it. Nothing may be fetched from elsewhere: it is refused, and written down.
 * Screenshots go to the directory WRENN_TEST_SCREENSHOTS when it is set.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";

const SCREENSHOTS = process.env["WRENN_TEST_SCREENSHOTS"];
const PATIENCE_MS = 60_000;
export const DESKTOP = { width: 1_280, height: 800 };

export interface Browser {
  page: Page;
  /** Requests to other servers. */
  outside: string[];
  /** Errors of the page's scripts, and what its content security policy refused. */
  problems: string[];
  /** Whether somebody wants to see what it looks like. */
  shoots: boolean;
  shoot(name: string): Promise<void>;
  close(): Promise<void>;
}

/** @param origin the only server that the page may use */
export async function openBrowser(origin: string): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  const page = await browser.newPage({ viewport: DESKTOP, reducedMotion: "reduce" });
  const outside: string[] = [];
  const problems: string[] = [];
  page.setDefaultTimeout(PATIENCE_MS);
  await page.route(
    (url) => /^(?:https?|wss?):$/.test(url.protocol) && url.host !== new URL(origin).host,
    async (route) => {
      outside.push(route.request().url());
      await route.abort();
    },
  );
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    if (/content security policy/i.test(message.text())) problems.push(message.text());
  });
  return {
    page,
    outside,
    problems,
    shoots: SCREENSHOTS !== undefined,
    async shoot(name) {
      if (SCREENSHOTS === undefined) return;
      await mkdir(SCREENSHOTS, { recursive: true });
      await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
    },
    close: async () => await browser.close(),
  };
}
