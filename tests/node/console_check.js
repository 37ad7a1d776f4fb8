// Looks at the console in Chromium: node console_check.js URL PAGE-OF-A-LAUNCH PAGE-OF-AN-OPEN-ONE CHROMIUM.
// It leaves pictures of all pages in the folder CVM_GATEWAY_TEST_PICTURES, if that is set.
"use strict";

const assert = require("node:assert/strict");
const { join } = require("node:path");
const { chromium } = require("playwright-core");

const [, , url, good, open, program] = process.argv;
const pictures = process.env.CVM_GATEWAY_TEST_PICTURES;
const pages = {
  operations: "/console",
  launch: good,
  open,
  accounts: "/console/accounts",
  denials: "/console/denials",
  gateway: "/console/gateway",
};

// Everything that a page complains of: errors, and what its policy forbade.
const complaints = [];

const open_page = async (browser, options) => {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on("console", (said) => said.type() === "error" && complaints.push(said.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("requestfailed", (request) => {
    // The browser gives up what it asked for when it leaves a page.
    const why = request.failure().errorText;
    if (why !== "net::ERR_ABORTED") complaints.push(`${request.url()}: ${why}`);
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) complaints.push(`it asked for ${request.url()}`);
  });
  page.setDefaultTimeout(10000);
  return page;
};

// Each page is whole, and its parts can be found by who does not see.
const whole = async (page) => {
  for (const [name, path] of Object.entries(pages)) {
    await page.goto(url + path);
    assert.equal(await page.locator("h1").count(), 1, name);
    assert.equal(await page.locator("main").count(), 1, name);
    assert.ok((await page.locator("table caption").count()) > 0, `${name} has no table`);
    const heads = page.locator("thead th");
    assert.equal(await heads.count(), await page.locator("thead th[scope=col]").count(), name);
    for (const input of await page.locator("input, select").all()) {
      const id = await input.getAttribute("id");
      assert.equal(await page.locator(`label[for="${id}"]`).count(), 1, `${name}: ${id} has no label`);
    }
    const levels = await page.locator("h1, h2, h3").evaluateAll((all) => all.map((one) => Number(one.tagName[1])));
    levels.reduce((last, next) => (assert.ok(next <= last + 1, `${name} leaves a heading out`), next), 0);
  }
};

const without_javascript = async (browser) => {
  const page = await open_page(browser, { javaScriptEnabled: false });
  await whole(page);
  await page.goto(`${url}/console`);
  assert.ok(await page.locator("#live").isHidden(), "what does not work is not shown");
  await page.selectOption("#state", "FAILED");
  await page.locator(".filter button").click();
  await page.waitForURL(/state=FAILED/);
  assert.equal(await page.locator("#list tbody tr").count(), 2);
  await page.fill("#q", "good");
  await page.keyboard.press("Enter");
  await page.waitForURL(url + good);
  await page.locator(".crumb a").click();
  await page.waitForURL(`${url}/console`);
  await page.context().close();
};

const live = async (browser) => {
  const page = await open_page(browser);
  await whole(page);
  await page.goto(`${url}/console`);
  // For a moment it is not there, when counting took too long.
  await page.waitForSelector('.tiles a[href="/console"] strong');
  const count = () => Number(document.querySelector('.tiles a[href="/console"] strong').innerText);
  const before = await page.evaluate(count);
  await page.evaluate(() => { window.same = true; });
  await page.fill("#account", "half a wo");
  await page.locator("#list tbody a").first().focus();
  const kept = await page.evaluate(() => document.activeElement.getAttribute("href"));
  await page.waitForFunction(
    (old) => Number(document.querySelector('.tiles a[href="/console"] strong')?.innerText) > old,
    before,
  );
  assert.ok(await page.evaluate(() => window.same), "it was not loaded anew");
  assert.equal(await page.inputValue("#account"), "half a wo", "what is being typed stays");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("href")), kept, "the focus stays");
  const button = page.getByRole("button", { name: "Live updates", pressed: true });
  await button.press("Enter");
  await page.getByRole("button", { name: "Live updates", pressed: false }).waitFor();
  await page.context().close();
};

const by_keyboard = async (browser) => {
  const page = await open_page(browser);
  // Nothing new comes on that account, which would move what is walked to.
  await page.goto(`${url}/console?account=main`);
  const focused = () => page.evaluate(() => {
    const at = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(at);
    return { text: at.innerText, outline: outlineStyle !== "none" && outlineWidth !== "0px" };
  });
  await page.keyboard.press("Tab");
  const skip = await focused();
  assert.equal(skip.text, "Skip to the content");
  assert.ok(skip.outline, "the focus is seen");
  const box = await page.locator(".skip").boundingBox();
  assert.ok(box.y >= 0, "the skip link is seen when it has the focus");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "q", "after the frame comes the search");
  for (let step = 0; step < 80; step += 1) {
    const at = await page.evaluate(() => document.activeElement.getAttribute("href"));
    if (at === good) break;
    await page.keyboard.press("Tab");
    assert.ok((await focused()).outline, `step ${step} is not seen`);
  }
  await page.keyboard.press("Enter");
  await page.waitForURL(url + good);
  await page.context().close();
};

// WCAG's contrast of a colour with what is behind it.
const faint = () => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.04045 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest("meter, option")) continue;
    const [a, b] = [rgba(getComputedStyle(element).color), behind(element)].map(light);
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.add(`${element.tagName}.${element.className} ${contrast.toFixed(2)}`);
  }
  return [...found];
};

const looks = async (browser) => {
  for (const [look, options] of Object.entries({
    light: { colorScheme: "light", viewport: { width: 1280, height: 800 } },
    dark: { colorScheme: "dark", viewport: { width: 1280, height: 800 } },
    narrow: { colorScheme: "light", viewport: { width: 390, height: 844 } },
  })) {
    const page = await open_page(browser, options);
    const grounds = new Set();
    for (const [name, path] of Object.entries(pages)) {
      await page.goto(url + path);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${look} ${name} is ${wide} too wide`);
      assert.deepEqual(await page.evaluate(faint), [], `${look} ${name} has text that is hard to read`);
      grounds.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
      if (pictures) {
        await page.screenshot({ path: join(pictures, `${name}-${look}.png`), fullPage: true });
      }
    }
    assert.deepEqual([...grounds], [look === "dark" ? "rgb(15, 19, 25)" : "rgb(246, 247, 249)"]);
    await page.context().close();
  }
};

(async () => {
  const browser = await chromium.launch({
    executablePath: program,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  try {
    await without_javascript(browser);
    await live(browser);
    await by_keyboard(browser);
    await looks(browser);
  } finally {
    await browser.close();
  }
  assert.deepEqual(complaints, []);
})();
