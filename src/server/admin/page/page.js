"use strict";
// All text comes into the page as text: nothing here makes HTML of a string.

const $ = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const POLL = 2000;
const POINTS = 150;
const ROWS = 100;
let me = null;
let view = "overview";
let timer = 0;

// -- Requests

async function request(method, path, body) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (me && method !== "GET") headers["X-Csrf-Token"] = me.csrf;
  const answer = await fetch(path, {
    method, headers, body: body === undefined ? undefined : JSON.stringify(body), credentials: "same-origin",
  });
  const text = await answer.text();
  let value = {};
  try { value = text ? JSON.parse(text) : {}; } catch { value = { error: text }; }
  if (answer.status === 401 && me) { showLogin("You are logged out."); throw new Error("You are logged out."); }
  if (!answer.ok) throw new Error(value.error || `The server answered ${answer.status}.`);
  return value;
}
const api = (method, path, body) => request(method, "/api/v1" + path, body);

function say(text, bad = false) {
  const place = $("#message");
  place.textContent = text;
  place.classList.toggle("bad", bad);
}

async function act(text, method, path, body) {
  if (!(await sure(text))) return;
  try {
    const done = await api(method, path, body);
    say(done.text || "Done.");
  } catch (error) { say(error.message, true); }
  refresh();
}

function sure(text) {
  const dialog = $("#sure");
  $("#sure-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

// -- Words

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (count >= 1024 && at < units.length - 1) { count /= 1024; at += 1; }
  return `${at ? count.toFixed(1) : Math.round(count)} ${units[at]}`;
}
function time(seconds) {
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h ${Math.floor(seconds / 60) % 60}m`;
  return `${Math.floor(seconds / 86400)}d ${Math.floor(seconds / 3600) % 24}h`;
}
const moment = (seconds) => new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, 19) + "Z";

// -- Charts

const rates = [];
const counts = [];
let before = null;

function measure({ moved, total }) {
  const now = performance.now();
  if (before) push(rates, (Math.max(0, moved - before.moved) * 1000) / Math.max(1, now - before.now));
  before = { now, moved };
  push(counts, total);
}
function push(series, value) { series.push(value); if (series.length > POINTS) series.shift(); }

function draw(chart, series) {
  const most = Math.max(1, ...series) * 1.1;
  const x = (at) => ((POINTS - series.length + at) * 600) / (POINTS - 1);
  const y = (value) => 118 - (value / most) * 114;
  const points = series.map((value, at) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`);
  const make = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const parts = [30, 60, 90].map((at) => make("line", { class: "grid", x1: 0, x2: 600, y1: at, y2: at }));
  if (points.length) {
    const first = x(0).toFixed(1);
    parts.push(make("polygon", { class: "area", points: `${first},119 ${points.join(" ")} 600,119` }));
    parts.push(make("polyline", { class: "curve", points: points.join(" ") }));
  }
  chart.replaceChildren(...parts);
}

// -- Tables

function cell(value, kind = "") {
  const td = document.createElement("td");
  if (value instanceof Node) td.append(value); else td.textContent = value ?? "";
  if (kind) td.className = kind;
  return td;
}
function button(label, run, danger = false) {
  const made = document.createElement("button");
  made.textContent = label;
  made.disabled = me.role !== "act";
  if (danger) made.className = "danger";
  made.addEventListener("click", run);
  return made;
}
function group(...buttons) {
  const made = document.createElement("span");
  made.className = "acts";
  made.append(...buttons);
  return made;
}

const does = (one) => {
  if (one.transfer) {
    const { direction, path, bytes: moved, milliseconds } = one.transfer;
    return `${direction} ${path ?? ""}: ${bytes(moved)}, ${bytes((moved * 1000) / Math.max(1, milliseconds))}/s`;
  }
  return one.command ?? "";
};

const plain = (network) => network.replace(/^([\d.]+)\/32$/, "$1");
const locked = (one) => one.user ?? (one["user-digest"] ? `(a name with the digest ${one["user-digest"].slice(0, 8)}…)` : "everybody");

const LONG = new Set(["Does", "Path", "Why", "Reason", "Last fault", "Grants"]);
const tables = {
  sessions: {
    columns: [
      ["Session", (one) => one.session], ["User", (one) => one["logged-in"] ? one.user + (one.host ? `@${one.host}` : "") : "(not logged in)"],
      ["Client", (one) => one.client], ["TLS", (one) => one.tls ?? "none"],
      ["Since", (one) => time(one.age), (one) => one.age], ["Idle", (one) => time(one.idle), (one) => one.idle],
      ["Does", does, (one) => one.transfer?.bytes ?? -1],
    ],
    load: async (query) => { const got = await api("GET", "/sessions" + query); return [got.sessions, got.matching, got.total]; },
    acts: (one) => group(
      button("End", () => act(`End session ${one.session} of ${one.user ?? one.client}?`, "POST", "/sessions/end", { session: one.session })),
      button("Ban", () => {
        const address = one.client.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
        const network = address + (address.includes(":") ? "/128" : "/32");
        act(`Ban ${address} for a day, and end its sessions?`, "POST", "/bans", { network, seconds: 86400 });
      }, true)),
  },
  quarantine: {
    columns: [
      ["When", (one) => one.time.replace("T", " ").replace(/\.\d+/, "")], ["User", (one) => one.user + (one.host ? `@${one.host}` : "")], ["Path", (one) => one.path],
      ["Size", (one) => bytes(one.size) + (one.whole ? "" : " (not whole)"), (one) => one.size],
      ["Client", (one) => one.client], ["Why", (one) => `${one.plugin}: ${one.reason}`],
    ],
    load: async (query) => { const got = await api("GET", "/quarantine" + query); return [got.uploads, got.matching, got.total]; },
    acts: (one) => group(
      button("Release", () => act(`Publish ${one.path} of ${one.user}, which ${one.plugin} refused (${one.reason})?`, "POST", `/quarantine/${encodeURIComponent(one.id)}/release`, { replace: false })),
      button("Delete", () => act(`Delete ${one.path} of ${one.user} for good?`, "DELETE", `/quarantine/${encodeURIComponent(one.id)}`), true)),
  },
  bans: {
    columns: [
      ["Network", (one) => one.network], ["Since", (one) => moment(one.since), (one) => one.since],
      ["Until", (one) => one.until ? moment(one.until) : "it is lifted", (one) => one.until ?? Infinity],
      ["By", (one) => one.by], ["Times", (one) => one.times, (one) => one.times], ["Reason", (one) => one.reason],
    ],
    load: async (query) => { const got = await api("GET", "/bans" + query); return [got.bans, got.matching, got.total]; },
    acts: (one) => group(button("Lift", () => act(`Let ${one.network} in again?`, "DELETE", `/bans?network=${encodeURIComponent(one.network)}`))),
  },
  locks: {
    columns: [
      ["User", locked], ["Network", (one) => one.network ? plain(one.network) : "anywhere"],
      ["For", (one) => one.seconds === null ? "ever" : time(one.seconds), (one) => one.seconds ?? Infinity], ["By", (one) => one.plugin],
    ],
    load: async (query) => { const got = await api("GET", "/locks" + query); return [got.locks, got.matching, got.total]; },
    acts: (one) => group(button("Unlock", () => {
      const wanted = new URLSearchParams();
      if (one["user-digest"]) wanted.set("digest", one["user-digest"]);
      if (one.network) wanted.set("network", one.network);
      act(`Let ${locked(one)} try again from ${one.network ? plain(one.network) : "anywhere"}?`, "DELETE", "/locks?" + wanted);
    })),
  },
  uploads: {
    columns: [
      ["Storage", (one) => one.storage], ["User", (one) => one.user ? one.user + (one.host ? `@${one.host}` : "") : ""], ["Path", (one) => one.path ?? ""],
      ["Size", (one) => bytes(one.size), (one) => one.size], ["Since", (one) => time(one.age), (one) => one.age],
    ],
    load: async (query) => { const got = await api("GET", "/uploads" + query); return [got.uploads, got.matching, got.total]; },
  },
  certificates: {
    columns: [
      ["Host", (one) => one.host ?? ""], ["Key", (one) => one.key], ["Subject", (one) => one.subject],
      ["Expires", (one) => moment(one.expires), (one) => one.expires],
      ["In", (one) => time(Math.max(0, Math.round(one.expires - Date.now() / 1000))), (one) => one.expires],
    ],
    load: async () => {
      const got = (await api("GET", "/certificates")).certificates;
      const wanted = $(`section[data-view="certificates"] input[type="search"]`).value.toLowerCase();
      const matching = got.filter((one) => JSON.stringify(one).toLowerCase().includes(wanted));
      return [matching, matching.length, got.length];
    },
  },
  plugins: {
    columns: [
      ["Plugin", (one) => one.name], ["Health", (one) => one.healthy ? "healthy" : "UNHEALTHY", (one) => one.healthy ? 1 : 0],
      ["Calls", (one) => one.calls, (one) => one.calls], ["Faults", (one) => one.faults, (one) => one.faults],
      ["Grants", (one) => one.grants],
      ["Computing", (one) => `${one.cpu.toFixed(3)} s`, (one) => one.cpu], ["Last fault", (one) => one["last-fault"] ? `${one["last-fault"]} (${time(one["last-fault-age"])} ago)` : ""],
    ],
    load: async () => {
      const got = (await api("GET", "/status")).plugins;
      const wanted = $(`section[data-view="plugins"] input[type="search"]`).value.toLowerCase();
      const matching = got.filter((one) => one.name.toLowerCase().includes(wanted));
      return [matching, matching.length, got.length];
    },
  },
};
for (const [name, table] of Object.entries(tables)) {
  const section = $(`section[data-view="${name}"]`);
  Object.assign(table, { section, offset: 0, order: null, down: false });
  const head = document.createElement("tr");
  table.columns.forEach(([label], at) => {
    const th = document.createElement("th");
    const sort = document.createElement("button");
    sort.textContent = label;
    sort.addEventListener("click", () => {
      table.down = table.order === at && !table.down;
      table.order = at;
      all("th", head).forEach((other) => other.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", table.down ? "descending" : "ascending");
      refresh();
    });
    th.append(sort);
    head.append(th);
  });
  if (table.acts) head.append(document.createElement("th"));
  $("thead", section).append(head);
  let typing = 0;
  $(`input[type="search"]`, section).addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => { table.offset = 0; refresh(); }, 150);
  });
  $(".back", section).addEventListener("click", () => { table.offset = Math.max(0, table.offset - ROWS); refresh(); });
  $(".on", section).addEventListener("click", () => { table.offset += ROWS; refresh(); });
}

async function showTable(table) {
  const filter = $(`input[type="search"]`, table.section).value;
  // Sorting takes all rows; else a part is enough.
  const whole = table.order !== null;
  const parameters = new URLSearchParams();
  if (filter) parameters.set("filter", filter);
  if (!whole) { parameters.set("offset", table.offset); parameters.set("limit", ROWS); }
  let [rows, matching, total] = await table.load("?" + parameters);
  if (whole) {
    const [, text, key] = table.columns[table.order];
    const of = key ?? text;
    rows.sort((one, other) => {
      const [a, b] = [of(one), of(other)];
      const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
      return table.down ? -order : order;
    });
  }
  if (whole || rows.length > ROWS) rows = rows.slice(table.offset, table.offset + ROWS);
  const made = rows.map((one) => {
    const tr = document.createElement("tr");
    table.columns.forEach(([label, text, key]) => {
      const td = cell(text(one), LONG.has(label) ? "long" : key && label !== "Health" ? "number" : "");
      td.dataset.label = label;
      tr.append(td);
    });
    if (table.acts) tr.append(cell(table.acts(one), "does"));
    return tr;
  });
  $("tbody", table.section).replaceChildren(...made);
  const first = rows.length ? table.offset + 1 : 0;
  $(".count", table.section).textContent = `${first}–${table.offset + rows.length} of ${matching}` + (matching === total ? "" : ` (${total} in all)`);
  $(".back", table.section).disabled = table.offset === 0;
  $(".on", table.section).disabled = table.offset + rows.length >= matching;
}

async function showOverview(sessions) {
  const status = await api("GET", "/status");
  const [held, bans] = await Promise.all([api("GET", "/quarantine?limit=0"), api("GET", "/bans?limit=0")]);
  const unhealthy = status.plugins.filter((one) => !one.healthy).length;
  const cards = [
    [sessions.total, "sessions"], [sessions.transfers, "transfers"], [bytes(rates.at(-1) ?? 0) + "/s", "on the wire"],
    [held.total, "in quarantine"], [status.uploads.length, "broken uploads"], [bans.total, "bans"],
    [unhealthy || "all", unhealthy ? "plugins unhealthy" : "plugins healthy", unhealthy > 0],
  ];
  $("#cards").replaceChildren(...cards.map(([value, label, bad]) => {
    const card = document.createElement("div");
    card.className = bad ? "card bad" : "card";
    const [b, span] = [document.createElement("b"), document.createElement("span")];
    b.textContent = value;
    span.textContent = label;
    card.append(b, span);
    return card;
  }));
  const facts = [
    ["Version", status.version], ["Running for", time(status.uptime)],
    ["Configuration", `${status.configuration ?? "the defaults"}, loaded ${time(status.loaded)} ago`],
    ...status.listening.map((one) => ["Listener", `${one.address}, ${one.kind} TLS`]),
    ...status.walls.map((one) => ["Wall", `${one.name}: ${one.stands ? "" : "DOES NOT STAND: "}${one.text}`]),
  ];
  if (status["state-error"]) facts.push(["State file", `NOT WRITTEN: ${status["state-error"]}`]);
  $("#server").replaceChildren(...facts.flatMap(([label, text]) => {
    const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
    dt.textContent = label;
    dd.textContent = text;
    return [dt, dd];
  }));
}

// -- Views

async function refresh() {
  clearTimeout(timer);
  if (!me) return;
  try {
    const sessions = await api("GET", "/sessions?limit=0");
    measure(sessions);
    draw($("#rate"), rates);
    draw($("#count"), counts);
    $("#rate-now").textContent = bytes(rates.at(-1) ?? 0) + "/s";
    $("#count-now").textContent = sessions.total;
    if (view === "overview") await showOverview(sessions); else await showTable(tables[view]);
    if ($("#message").dataset.lost) { delete $("#message").dataset.lost; say(""); }
  } catch (error) {
    if (me) { $("#message").dataset.lost = "yes"; say(error.message, true); }
  }
  clearTimeout(timer);
  if (me) timer = setTimeout(refresh, POLL);
}

function show(name) {
  view = name;
  all("nav button").forEach((tab) => tab.setAttribute("aria-selected", tab.dataset.view === name));
  all("main section").forEach((section) => { section.hidden = section.dataset.view !== name; });
  location.hash = name;
  refresh();
}

function showLogin(text = "") {
  me = null;
  clearTimeout(timer);
  $("#app").hidden = true;
  $("#login").hidden = false;
  $("#login-error").textContent = text;
  $("#token").focus();
}

function enter(who) {
  me = who;
  $("#login").hidden = true;
  $("#app").hidden = false;
  $("#who").textContent = `${who.name} (${who.role})`;
  all("[data-act], #ban button").forEach((one) => { one.disabled = who.role !== "act"; });
  const wanted = location.hash.slice(1);
  show(wanted in tables ? wanted : "overview");
}

$("#login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = $("#token");
  try {
    const who = await request("POST", "/login", { token: field.value });
    field.value = "";
    enter(who);
  } catch (error) { $("#login-error").textContent = error.message; }
});
$("#logout").addEventListener("click", async () => {
  try { await request("DELETE", "/login"); } catch { /* It is gone either way. */ }
  showLogin();
});
$("#ban").addEventListener("submit", (event) => {
  event.preventDefault();
  const network = $("#ban-network").value.trim();
  const full = network.includes("/") ? network : network + (network.includes(":") ? "/128" : "/32");
  const seconds = $("#ban-time").value;
  const body = { network: full, reason: $("#ban-reason").value };
  if (seconds) body.seconds = Number(seconds);
  act(`Ban ${full}, and end its sessions?`, "POST", "/bans", body);
});
$(`[data-act="reload"]`).addEventListener("click", () => act("Read the configuration, certificates and plugins again?", "POST", "/reload"));
$(`[data-act="drain"]`).addEventListener("click", () => act("End the server? Nobody can come in until somebody starts it again.", "POST", "/drain"));
all("nav button").forEach((tab) => tab.addEventListener("click", () => show(tab.dataset.view)));
document.addEventListener("keydown", (event) => {
  if (!me || event.ctrlKey || event.metaKey || event.altKey || $("#sure").open) return;
  if (["INPUT", "SELECT"].includes(event.target.tagName)) { if (event.key === "Escape") event.target.blur(); return; }
  const tabs = all("nav button");
  if (event.key >= "1" && event.key <= String(tabs.length)) show(tabs[event.key - 1].dataset.view);
  if (event.key === "/") { const search = $(`section[data-view="${view}"] input[type="search"]`); if (search) { event.preventDefault(); search.focus(); } }
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });

(async () => { try { enter(await request("GET", "/login")); } catch { showLogin(); } })();
