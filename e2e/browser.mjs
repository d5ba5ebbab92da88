// Opens a page of the server in headless Chromium and watches its player.
//
//   node browser.mjs URL SECONDS SCREENSHOT [restart]
//
// One JSON object a line on standard output: {"event": "playing"} once it plays; with `restart` then {"event": "restart"},
// after which a line on standard input says that the publisher is back; {"event": "done", ...} at the end.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [url, secondsText, screenshot, mode] = process.argv.slice(2);
const seconds = Number(secondsText);
const say = (message) => console.log(JSON.stringify(message));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--autoplay-policy=no-user-gesture-required"],
});
const page = await browser.newPage({ viewport: { width: 1000, height: 800 } });
const errors = [];
page.on("pageerror", (error) => errors.push(String(error)));
page.on("console", (message) => { if (message.type() === "error") errors.push(message.text()); });

const state = () => page.evaluate(() => {
  const video = document.querySelector("video");
  const quality = video.getVideoPlaybackQuality();
  return { time: video.currentTime, frames: quality.totalVideoFrames, dropped: quality.droppedVideoFrames, stalls: window.stalls, width: video.videoWidth,
    paused: video.paused, status: document.querySelector("#status-text")?.textContent };
});
const until = async (what, ms, test) => {
  const end = Date.now() + ms;
  for (;;) {
    const now = await state();
    if (test(now)) return now;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}; ${JSON.stringify(now)} ${errors.join("; ")}`);
    await page.waitForTimeout(100);
  }
};

try {
  // A stall is what the element itself calls one: it wants to play and has no data.
  await page.addInitScript(() => {
    window.stalls = 0;
    document.addEventListener("waiting", (event) => { if (event.target.currentTime > 0) window.stalls++; }, true);
  });
  const opened = Date.now();
  await page.goto(url);
  await until("playing", 30_000, (s) => s.time > 0 && s.frames > 5);
  say({ event: "playing", ms: Date.now() - opened });
  const before = await state();
  const began = Date.now();
  await page.waitForTimeout(seconds * 1000);
  const after = await state();
  const wall = (Date.now() - began) / 1000;
  await page.screenshot({ path: screenshot });
  let resumed;
  if (mode === "restart") {
    say({ event: "restart" });
    const lines = createInterface({ input: process.stdin });
    await new Promise((resolve) => lines.once("line", resolve));
    lines.close(); // or the process would not end
    const at = await state();
    const returned = Date.now();
    // hls.js counts frames of the new source buffer too; the page may also have begun anew.
    await until("playing after the restart", 45_000, (s) => s.status === "Live" && !s.paused && (s.frames > at.frames + 50 || s.frames < at.frames));
    const mid = await state();
    await page.waitForTimeout(5000);
    const end = await state();
    resumed = { ms: Date.now() - returned, advanced: end.time - mid.time, frames: end.frames - mid.frames };
    await page.screenshot({ path: screenshot });
  }
  say({ event: "done", wall, advanced: after.time - before.time, frames: after.frames - before.frames, dropped: after.dropped - before.dropped,
    stalls: after.stalls - before.stalls, width: after.width, resumed, errors });
} catch (error) {
  await page.screenshot({ path: screenshot }).catch(() => {});
  say({ event: "failed", why: String(error), errors });
  process.exitCode = 1;
} finally {
  await browser.close();
  process.stdin.destroy();
}
