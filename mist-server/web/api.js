"use strict";
// Shows streams, outputs and the log. Everything from the server is put in as text, never as markup.

const byId = (id) => document.getElementById(id);
let login = null; // {user, hash}, hash being the MD5 of the password
let answer = null; // what the last challenge was answered with

// MD5 (RFC 1321): the API's log-in is made of it, and browsers have none.
function md5(text) {
  const bytes = new TextEncoder().encode(text);
  const words = new Uint32Array((((bytes.length + 8) >> 6) + 1) * 16);
  bytes.forEach((b, i) => { words[i >> 2] |= b << ((i & 3) * 8); });
  words[bytes.length >> 2] |= 0x80 << ((bytes.length & 3) * 8);
  words[words.length - 2] = bytes.length * 8;
  const shifts = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
  const table = Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32) >>> 0);
  let state = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
  for (let at = 0; at < words.length; at += 16) {
    let [a, b, c, d] = state;
    for (let i = 0; i < 64; i++) {
      const round = i >> 4;
      const [f, k] = [
        [(b & c) | (~b & d), i],
        [(d & b) | (~d & c), (5 * i + 1) % 16],
        [b ^ c ^ d, (3 * i + 5) % 16],
        [c ^ (b | ~d), (7 * i) % 16],
      ][round];
      const sum = (a + f + table[i] + words[at + k]) >>> 0;
      const by = shifts[round][i & 3];
      [a, d, c, b] = [d, c, b, (b + ((sum << by) | (sum >>> (32 - by)))) >>> 0];
    }
    state = [state[0] + a, state[1] + b, state[2] + c, state[3] + d].map((x) => x >>> 0);
  }
  return state.map((x) => [0, 8, 16, 24].map((s) => ((x >>> s) & 255).toString(16).padStart(2, "0")).join("")).join("");
}

async function ask(commands) {
  const request = { ...commands };
  if (answer) request.authorize = answer;
  const response = await fetch("/api", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
  });
  const reply = await response.json();
  const { status, challenge } = reply.authorize;
  if (status === "CHALL" && login) {
    const password = md5(login.hash + challenge);
    if (answer && answer.password === password) {
      login = answer = null;
      return reply;
    }
    answer = { username: login.user, password };
    return ask(commands);
  }
  return reply;
}

function rows(id, list) {
  byId(id).replaceChildren(...list.map((cells) => {
    const row = document.createElement("tr");
    for (const cell of cells) row.insertCell().textContent = cell;
    return row;
  }));
}

const streamState = (s) => s.error || ["offline", "online", "available"][s.online] || String(s.online);

async function refresh() {
  let reply;
  try {
    reply = await ask({ config: true, streams: true, log: true, active_streams: ["viewers"], minimal: 1 });
  } catch (e) {
    byId("message").textContent = "The server does not answer.";
    return;
  }
  const open = Boolean(reply.LTS);
  byId("lists").hidden = !open;
  byId("login").hidden = open || reply.authorize.status !== "CHALL";
  if (!open) {
    byId("message").textContent = reply.authorize.status === "NOACC"
      ? "There is no account yet. Make one on the server itself, with --account USER:PASSWORD."
      : "Please log in.";
    return;
  }
  byId("message").textContent = "";
  const config = reply.config;
  byId("server").textContent = `${config.serverid || "This server"}, version ${config.version}`;
  const active = reply.active_streams || {};
  const streams = Object.values(reply.streams || {});
  const names = new Set(streams.map((s) => s.name));
  const others = Object.keys(active).filter((n) => !names.has(n)).map((name) => ({ name, source: "", online: 1 }));
  rows("streams", [...streams, ...others].map((s) => [s.name, s.source || "", streamState(s), (active[s.name] || [0])[0]]));
  const state = (online) => ({ 0: "offline", 1: "online" })[online] || String(online);
  rows("protocols", config.protocols.map((p) => [p.connector, p.port || "", state(p.online)]));
  const time = (unix) => new Date(unix * 1000).toLocaleTimeString();
  rows("log", (reply.log || []).slice(-30).reverse().map(([unix, kind, text]) => [time(unix), kind, text]));
}

byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  login = { user: byId("user").value, hash: md5(byId("password").value) };
  byId("password").value = "";
  refresh();
});
refresh();
setInterval(() => { if (!document.hidden) refresh(); }, 3000);
