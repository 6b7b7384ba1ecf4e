/** What every page has to pass, in light and dark, on phones, tablets and desktops. */
import axe from "axe-core";
import type { Browser } from "./browser.ts";
import { DESKTOP } from "./browser.ts";

const SIZES = { phone: { width: 390, height: 844 }, tablet: { width: 820, height: 1_180 }, desktop: DESKTOP };
const THEMES = ["light", "dark"] as const;

/**
 * Looks at the page as it is with axe, and for what is wider than the screen.
 * @returns what is wrong, in words; leaves the page light and on a desktop
 */
export async function audit(browser: Browser, name: string): Promise<string[]> {
  const { page } = browser;
  const wrong: string[] = [];
  await page.evaluate(axe.source);
  for (const colorScheme of THEMES) {
    await page.emulateMedia({ colorScheme });
    for (const [size, viewport] of Object.entries(SIZES)) {
      // the themes differ in colours, not in layout
      if (colorScheme === "dark" && size !== "phone" && !browser.shoots) continue;
      await page.setViewportSize(viewport);
      const where = `${name}, ${colorScheme}, ${size}`;
      const width = await page.evaluate<number>("document.documentElement.scrollWidth");
      if (width > viewport.width) wrong.push(`${where}: ${width} px wide`);
      if (size !== "tablet") await browser.shoot(`${name}-${colorScheme}-${size}`);
      // each theme and each layout is looked at once
      if (where.endsWith("light, desktop") || where.endsWith("dark, phone"))
        wrong.push(...(await violations(browser)).map((violation) => `${where}: ${violation}`));
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(DESKTOP);
  return wrong;
}

async function violations({ page }: Browser): Promise<string[]> {
  const { violations: found } = await page.evaluate(
    async () => await (globalThis as unknown as { axe: typeof axe }).axe.run({ resultTypes: ["violations"] }),
  );
  return found.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} ${target.join(" ")} ${failureSummary}`),
  );
}
