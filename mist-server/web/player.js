// The player of /STREAM.html: plays the stream's HLS with hls.js, or with the browser's own HLS where there are no
// media source extensions. It waits for a stream that has not started, and goes on when the publisher comes back.
"use strict";

const RETRY_MS = 2000; // between attempts while the stream is not there
const STUCK_MS = 8000; // no progress for this long while playing: start again at the live point

const byId = (id) => document.getElementById(id);
const video = byId("video");

// "/base%2Bpart.html" plays "base+part". The name is only ever used as text and, encoded, in URLs.
const file = location.pathname.slice(location.pathname.lastIndexOf("/") + 1).replace(/\.html$/, "");
const decode = (text) => { try { return decodeURIComponent(text); } catch { return text; } };
const stream = decode(file);
const path = encodeURIComponent(stream);
const query = location.search;
const playlist = `/hls/${path}/index.m3u8${query}`;

function status(state, text) {
  byId("status").dataset.state = state;
  if (byId("status-text").textContent !== text) byId("status-text").textContent = text;
}

// ---- addresses for other players

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not allowed, or a page without TLS
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  byId("copied").textContent = `Copied: ${text}`;
}

function links(rtmp) {
  const addresses = [
    ["RTMP", rtmp],
    ["HLS", location.origin + playlist],
    ["FLV", `${location.origin}/${path}.flv${query}`],
    ["MPEG-TS", `${location.origin}/${path}.ts${query}`],
  ];
  byId("links").replaceChildren(...addresses.map(([name, url]) => {
    const item = document.createElement("li");
    const label = document.createElement("span");
    const link = document.createElement("a");
    const button = document.createElement("button");
    label.textContent = name;
    link.href = link.textContent = url;
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy the ${name} address`);
    button.addEventListener("click", () => copy(url));
    item.append(label, link, button);
    return item;
  }));
}

// The server's own list knows the RTMP port; without it the default one is shown.
async function describe() {
  links(`rtmp://${location.hostname}:1935/play/${path}`);
  try {
    const info = await (await fetch(`/json_${path}.js`)).json();
    const rtmp = (info.source || []).find((s) => typeof s.url === "string" && s.url.startsWith("rtmp://"));
    if (rtmp) links(rtmp.url);
  } catch { /* no information yet: the default stays */ }
}

// ---- playing

function start() {
  const began = video.play();
  if (!began) return;
  began.catch((error) => {
    if (error.name !== "NotAllowedError" || video.muted) return;
    video.muted = true; // browsers let a page start by itself only without sound
    byId("unmute").hidden = false;
    video.play().catch(() => {});
  });
}

byId("unmute").addEventListener("click", () => {
  video.muted = false;
  byId("unmute").hidden = true;
  video.focus();
});

let again; // stops the current attempt and makes the next one
let timer;

function retry(why, after = RETRY_MS) {
  status("waiting", why);
  clearTimeout(timer);
  timer = setTimeout(() => again(), after);
}

function withHlsJs() {
  let hls;
  let recoveries = 0;
  again = () => {
    hls?.destroy();
    recoveries = 0;
    hls = new Hls({ backBufferLength: 30, startOnSegmentBoundary: true });
    hls.on(Hls.Events.MANIFEST_PARSED, () => { describe(); start(); });
    hls.on(Hls.Events.FRAG_BUFFERED, () => { recoveries = 0; });
    // An ended playlist says that the publisher stopped: ask again until a new one is there.
    hls.on(Hls.Events.LEVEL_UPDATED, (_, { details }) => { if (!details.live) video.addEventListener("ended", ended, { once: true }); });
    hls.on(Hls.Events.ERROR, (_, error) => {
      if (!error.fatal) return;
      if (error.type === Hls.ErrorTypes.MEDIA_ERROR && recoveries++ < 2) {
        hls.recoverMediaError();
        return;
      }
      const code = error.response?.code;
      if (code === 404) retry("Waiting for the stream…");
      else if (code === 403 || code === 401) retry("The server does not allow this stream here.", 5 * RETRY_MS);
      else if (error.type === Hls.ErrorTypes.NETWORK_ERROR) retry("No connection to the server. Trying again…");
      else retry("This browser could not play the stream. Trying again…");
    });
    hls.attachMedia(video);
    hls.loadSource(playlist);
  };
  return () => hls;
}

function withoutHlsJs() {
  again = () => { video.src = playlist; start(); describe(); };
  video.addEventListener("error", () => retry("Waiting for the stream…"));
  video.addEventListener("ended", ended);
  return () => undefined;
}

function ended() { retry("The stream has ended. Waiting for it to start again…"); }

let current;
if (window.Hls && Hls.isSupported()) current = withHlsJs();
else if (video.canPlayType("application/vnd.apple.mpegurl")) current = withoutHlsJs();

video.addEventListener("playing", () => status("playing", "Live"));
video.addEventListener("pause", () => { if (!video.ended) status("connecting", "Paused"); });
video.addEventListener("waiting", () => status("connecting", "Buffering…"));
video.addEventListener("volumechange", () => { if (!video.muted) byId("unmute").hidden = true; });

// ---- once a second: what plays, and whether it does

let lastTime = -1;
let lastMove = performance.now();

function watch() {
  const now = performance.now();
  if (video.currentTime !== lastTime || video.paused || video.ended || document.hidden) {
    lastTime = video.currentTime;
    lastMove = now;
  } else if (video.readyState > 0 && now - lastMove > STUCK_MS) {
    lastMove = now;
    retry("Waiting for the stream…", 0);
  }
  const hls = current();
  const facts = [];
  if (video.videoWidth) facts.push(["Picture", `${video.videoWidth} × ${video.videoHeight}`]);
  const quality = video.getVideoPlaybackQuality?.();
  if (quality?.totalVideoFrames) facts.push(["Frames", `${quality.totalVideoFrames} (${quality.droppedVideoFrames} dropped)`]);
  if (Number.isFinite(hls?.latency) && hls.latency > 0) facts.push(["Behind live", `${hls.latency.toFixed(1)} s`]);
  byId("facts").replaceChildren(...facts.map(([name, value]) => {
    const pair = document.createElement("div");
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    pair.append(dt, dd);
    return pair;
  }));
}

byId("name").textContent = stream;
document.title = `${stream} · mist`;
describe();
if (current) {
  setInterval(watch, 1000);
  again();
} else {
  status("waiting", "This browser can play neither media source extensions nor HLS. Use one of the addresses below.");
}
