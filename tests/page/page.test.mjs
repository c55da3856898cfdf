// The page as a person uses it: a real daemon, real OOM kills, a real browser.
//
// OOM_AGENT: the daemon's program. CHROMIUM: the browser. OOM_SHOTS: a directory for pictures of every page.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { contrast, names, overflow, targets } from "./checks.mjs";
import { cgroup, cleanUp, fill, grow, remove, scratch, start, until } from "./daemon.mjs";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-dev-shm-usage"];
const SHOTS = process.env.OOM_SHOTS;
// A tag, a script, and an override that turns what follows around.
const HOSTILE = "<b>\u202ex<i>";
const SHOWN = "<b>\\u{202e}x<i>";

let browser, daemon, cgroups = [], hostile, leak;

before(async () => {
  daemon = await start(process.env.OOM_AGENT, "state");
  const make = (...args) => (cgroups.unshift(cgroup(...args)), cgroups[0]);
  const pod = make(`pod-${process.pid}`, 160);
  const app = make("checkout", undefined, pod);
  const proxy = make("envoy", undefined, pod);
  const names = make(`<img src=x onerror=alert(1)>-${process.pid}`, 16);
  fill(names, HOSTILE);
  // Three in a row in one place.
  const loop = make(`restarts-${process.pid}`, 16);
  for (let at = 0; at < 3; at += 1) fill(loop, "worker");
  const beside = grow(proxy, "envoy", 8, 0);
  await beside.ready;
  const leaking = grow(app, "java", 10, 3, 300);
  assert.equal(await leaking.ended, "SIGKILL");
  beside.child.kill();
  await beside.ended;
  const list = await until("all are stored", async () => {
    const answer = await (await fetch(`${daemon.address}/api/v1/incidents`)).json();
    const ours = answer.incidents.filter((it) => it.victims.some((victim) => ["java", "worker", HOSTILE].includes(victim.comm)));
    return ours.length >= 5 && ours;
  });
  const id = (comm) => list.find((it) => it.victims[0].comm === comm).id;
  [hostile, leak] = [id(HOSTILE), id("java")];
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
});

after(async () => {
  await browser?.close();
  assert.equal(await daemon?.stop(), 0);
  for (const it of cgroups) await remove(it);
  cleanUp();
});

/// A page on which nothing may go wrong unsaid.
const open = async (options = {}) => {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("request", (request) => request.url().startsWith(daemon.address) || request.url().startsWith("data:") || wrong.push(`asks ${request.url()}`));
  page.on("response", (response) => response.status() >= 400 && wrong.push(`${response.status()} ${response.url()}`));
  const close = async () => {
    await context.close();
    assert.deepEqual(wrong, []);
  };
  return { page, context, close };
};

const paths = () => ({
  list: "/", incident: `/incidents/${leak}`, hostile: `/incidents/${hostile}`, "who-is-next": "/rank",
  nothing: "/?q=nothing-has-this", docs: "/docs/oom-killer",
});

for (const javaScriptEnabled of [true, false]) for (const width of [360, 1440]) for (const colorScheme of ["light", "dark"]) {
  const how = `${width} px, ${colorScheme}, ${javaScriptEnabled ? "with" : "without"} JavaScript`;
  test(`every page is in order: ${how}`, async () => {
    const { page, close } = await open({ javaScriptEnabled, colorScheme, viewport: { width, height: width === 360 ? 740 : 900 } });
    for (const [name, path] of Object.entries(paths())) {
      const response = await page.goto(daemon.address + path);
      assert.equal(response.status(), 200, path);
      for (const check of [names, contrast, overflow, targets]) {
        assert.deepEqual(await page.evaluate(check), [], `${check.name} of ${name}`);
      }
      const hidden = await page.locator(".script:visible").count();
      assert.equal(hidden > 0, javaScriptEnabled && /incident|hostile|who/.test(name), `what needs a script: ${name}`);
      if (SHOTS && javaScriptEnabled && name !== "docs") {
        mkdirSync(SHOTS, { recursive: true });
        await page.screenshot({ path: join(SHOTS, `${name}-${width}-${colorScheme}.png`), fullPage: true });
      }
    }
    await close();
  });
}

test("pages may load nothing from elsewhere and hold no inline script or style", async () => {
  for (const path of Object.values(paths())) {
    const response = await fetch(daemon.address + path);
    const policy = response.headers.get("content-security-policy");
    assert.ok(policy.startsWith("default-src 'none'; style-src 'self'; script-src 'self';"), policy);
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.doesNotMatch(await response.text(), /<[^>]* (style|on\w+)=/);
  }
});

test("what does not change is kept by the browser, by its name", async () => {
  const list = await (await fetch(`${daemon.address}/`)).text();
  const assets = [...list.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map((it) => it[1]);
  assert.equal(assets.length, 2);
  for (const path of assets) {
    const response = await fetch(daemon.address + path);
    assert.match(response.headers.get("cache-control"), /immutable/);
    const again = await fetch(daemon.address + path, { headers: { "If-None-Match": response.headers.get("etag") } });
    assert.equal(again.status, 304);
  }
  assert.equal((await fetch(`${daemon.address}/assets/page.css`)).status, 404);
  assert.equal((await fetch(`${daemon.address}/incidents/01M7ZE4XBGWZCDK9T8XC81JPRM`)).status, 404);
  assert.equal((await fetch(`${daemon.address}/incidents/%2e%2e%2fx`)).status, 404);
  assert.equal((await fetch(`${daemon.address}/?before=x`)).status, 400);
  assert.equal((await fetch(`${daemon.address}/?nonsense=1`)).status, 400);
});

test("names that attackers choose are text", async () => {
  const { page, close } = await open();
  for (const path of [`/?q=${encodeURIComponent("<b>")}`, `/incidents/${hostile}`]) {
    await page.goto(daemon.address + path);
    await page.locator("main code", { hasText: SHOWN }).first().waitFor();
    assert.equal(await page.locator("main b, main img").count(), 0);
    const text = await page.locator("main").innerText();
    assert.ok(text.includes(SHOWN), text.slice(0, 400));
    assert.ok(!text.includes("\u202e"));
    assert.ok(text.includes("<img\\x20src=x\\x20onerror=alert(1)>"), "the cgroup");
  }
  await close();
});

test("the filter narrows while one types, the server knows the rest, and the address can be shared", async () => {
  const { page, close } = await open();
  await page.goto(daemon.address);
  await page.locator("#q").pressSequentially("java", { delay: 20 });
  await page.waitForURL(/\?q=java$/);
  await page.locator("caption", { hasText: "that match" }).waitFor();
  const rows = page.locator("#incidents tbody tr");
  assert.ok((await rows.count()) >= 1);
  for (const row of await rows.all()) assert.match(await row.innerText(), /java/);
  assert.equal(await page.evaluate(() => document.activeElement.id), "q", "typing goes on");
  await page.reload();
  assert.equal(await page.locator("#q").inputValue(), "java");
  await page.locator("#q").fill("nothing-has-this");
  await page.locator("h2", { hasText: "Nothing matches" }).waitFor();
  await close();

  const plain = await open({ javaScriptEnabled: false });
  await plain.page.goto(daemon.address);
  await plain.page.fill("#q", "worker");
  await plain.page.press("#q", "Enter");
  await plain.page.waitForURL(/\?q=worker$/);
  for (const row of await plain.page.locator("tbody tr").all()) assert.match(await row.innerText(), /worker/);
  await plain.close();
});

test("restarts in a row are told at the top", async () => {
  const { page, close } = await open();
  // Others on this machine may be killed meanwhile.
  await page.goto(`${daemon.address}/?q=restarts-${process.pid}`);
  assert.match(await page.locator("section.loops").innerText(), /3 kills in .*, last worker/);
  assert.ok((await page.locator("tr.again").count()) >= 1);
  await close();
});

test("without a mouse: skip the head, find, open", async () => {
  const { page, close } = await open();
  await page.goto(daemon.address);
  await page.keyboard.press("Tab");
  const focus = () => page.evaluate(() => {
    const it = document.activeElement;
    const box = it.getBoundingClientRect();
    return { text: it.textContent || it.id, visible: box.width > 20 && box.top >= 0, ring: getComputedStyle(it).outlineStyle };
  });
  assert.deepEqual(await focus(), { text: "Skip to content", visible: true, ring: "solid" });
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.equal((await focus()).text, "q", "after the skip the filter is next");
  await page.locator("body").click({ position: { x: 5, y: 5 } });
  await page.keyboard.press("/");
  assert.equal((await focus()).text, "q");
  assert.equal(await page.inputValue("#q"), "", "the slash itself is not typed");
  await page.keyboard.type("java");
  await page.waitForURL(/q=java/);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  const { text, ring } = await focus();
  assert.match(text, /java\[\d+\]/);
  assert.equal(ring, "solid");
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/incidents/${leak}`);
  await close();
});

test("an incident has its picture, its candidates and a ticket", async () => {
  const { page, context, close } = await open();
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: daemon.address });
  await page.goto(`${daemon.address}/incidents/${leak}`);
  assert.match(await page.locator("h1").innerText(), /^java\[\d+\], holding .* was killed: memory cgroup/);
  const picture = page.locator("svg.time");
  assert.ok((await picture.locator("polyline.curve").count()) === 1, "it was sampled while it grew");
  assert.ok((await picture.locator("circle.event").count()) >= 2, "kill and exit");
  assert.match(await picture.locator("desc").textContent(), /Memory in use: .*SIGKILL to java/);
  assert.match(await page.locator(".bars .killed").first().innerText(), /java\[\d+\]\s+killed/);
  await page.getByRole("button", { name: "Copy as Markdown" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  const ticket = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(ticket, /^## OOM kill, [\s\S]*\*\*Diagnosis\*\*[\s\S]*<details>/);
  assert.ok(ticket.trimEnd().endsWith(`${daemon.address}/incidents/${leak}`));
  await page.getByText("The kernel's own text").click();
  assert.match(await page.locator("pre.log").innerText(), /oom-kill|Killed process|invoked oom-killer/);
  await page.emulateMedia({ media: "print" });
  assert.equal(await page.locator(".actions").isVisible(), false);
  await close();
});

test("who is next is live, and stops when told to", async () => {
  const { page, close } = await open();
  await page.goto(`${daemon.address}/rank`);
  assert.match(await page.locator("#rank .headline").innerText(), /would be killed|could be killed|would panic/);
  const time = () => page.locator("#rank time").textContent();
  const first = await time();
  await until("it is looked at again", async () => (await time()) !== first);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.locator("h1").click();
  const paused = await time();
  await page.waitForTimeout(6000);
  assert.equal(await time(), paused);
  await page.goto(`${daemon.address}/rank?cgroup=${encodeURIComponent("/" + cgroups.at(-1).path.slice(1))}`);
  assert.match(await page.locator("#rank").innerText(), /limit of 160 MiB/);
  await close();

  const none = await browser.newPage();
  const response = await none.goto(`${daemon.address}/rank?cgroup=/no/such`);
  assert.equal(response.status(), 400);
  assert.match(await none.locator("#rank").innerText(), /no\/such/);
  await none.close();
});

// The kernel's log may still tell of an earlier run's.
const [afresh, asked] = [`afresh${process.pid}`, `asked${process.pid}`];

test("a kill is announced where somebody looks, and listed", async () => {
  const { page, close } = await open();
  await page.goto(`${daemon.address}/?q=${afresh}`);
  assert.equal(await page.locator("tbody tr").count(), 0);
  // The restarts' place.
  fill(cgroups[0], afresh);
  await page.locator("tbody tr", { hasText: afresh }).waitFor({ timeout: 20_000 });
  const news = page.locator("#news a");
  assert.match(await news.innerText(), /new OOM incident/);
  assert.equal(await page.locator("#news").getAttribute("aria-live"), "polite");
  await news.click();
  await page.waitForURL("**/incidents/*");
  await close();
});

test("with a token a browser asks once, and everything works", async () => {
  const file = join(scratch, "token");
  const token = "0123456789abcdef0123456789abcdef";
  writeFileSync(file, `${token}\n`, { mode: 0o600 });
  const guarded = await start(process.env.OOM_AGENT, "guarded", "--api-token-file", file);
  try {
    for (const path of ["/", "/rank", "/docs/oom-killer", `/incidents/${leak}`]) {
      assert.equal((await fetch(guarded.address + path)).status, 401, path);
    }
    const context = await browser.newContext({ httpCredentials: { username: "me", password: token } });
    const page = await context.newPage();
    const wrong = [];
    page.on("console", (message) => message.type() === "error" && wrong.push(message.text()));
    await page.goto(`${guarded.address}/?q=${asked}`);
    await page.locator("h2", { hasText: "Nothing matches" }).waitFor();
    fill(cgroups[0], asked);
    await page.locator("tbody tr", { hasText: asked }).waitFor({ timeout: 20_000 });
    await page.goto(`${guarded.address}/rank`);
    await page.locator("#rank .headline").waitFor();
    await context.close();
    assert.deepEqual(wrong, []);
  } finally {
    await guarded.stop();
  }
});
