"use strict";
// Puts the parts together, and lets the controls change them.

function options(select, pairs) {
  select.append(...pairs.map(([value, text]) => element("option", { value }, text)));
}

function chooseDevice(id) {
  setDevice(id);
  return updateScatters();
}

function setDevice(id) {
  state.device = id;
  for (const select of document.querySelectorAll("select.device")) select.value = id;
  chooseMetrics();
  showAnswers();
  showOrders();
}

/** Offer the metrics that the device's measurements have; the most frequent one is chosen. */
function chooseMetrics() {
  const counts = new Map();
  for (const point of points) {
    if (point.device === state.device && point.metric) counts.set(point.metric, (counts.get(point.metric) || 0) + 1);
  }
  const metrics = [...counts.keys()].sort((one, other) => counts.get(other) - counts.get(one));
  if (!metrics.includes(state.metric)) state.metric = metrics[0] || null;
  const select = document.getElementById("metric");
  select.replaceChildren();
  options(select, metrics.map((metric) => [metric, metric]));
  if (state.metric) select.value = state.metric;
  document.getElementById("metric-field").hidden = metrics.length < 2;
}

function prepareControls() {
  for (const select of document.querySelectorAll("select.device")) {
    options(select, page.devices.map((device) => [device.id, device.label]));
    select.addEventListener("change", () => chooseDevice(select.value));
  }
  document.getElementById("metric").addEventListener("change", (event) => { state.metric = event.target.value; updateScatters(); });
}

function prepareFilters() {
  const form = document.getElementById("filters");
  if (!form) return;
  const results = page.tables.flatMap((table) => table.columns.filter((column) => column.key === "result").flatMap((column) => column.cells.texts));
  const targets = page.tables.flatMap((table) => table.columns.filter((column) => column.key === "target").flatMap((column) => column.cells.texts));
  options(document.getElementById("only-device"), page.devices.map((device) => [device.id, device.label]));
  options(document.getElementById("only-target"), [...new Set(targets)].sort().map((target) => [target, target]));
  options(document.getElementById("only-result"), [...new Set(results)].sort().map((result) => [result, result]));
  const apply = () => {
    state.search = document.getElementById("search").value;
    state.onlyDevice = document.getElementById("only-device").value;
    state.target = document.getElementById("only-target").value;
    state.result = document.getElementById("only-result").value;
    updateTables();
    if (state.onlyDevice && state.onlyDevice !== state.device) chooseDevice(state.onlyDevice);
    else if (points.length) updateScatters();
  };
  form.addEventListener("input", apply);
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
}

const MISLEADING = 0.8; // Kendall's tau below which one pair of models in ten, or more, has the other order

function showOrders() {
  const own = page.orders.filter((order) => order.device === state.device);
  const place = document.getElementById("orders");
  place.replaceChildren();
  if (!own.length) return;
  const misled = own.filter((order) => order.tau < MISLEADING).length;
  place.append(element("p", {}, misled
    ? `Multiply-adds mislead here: for ${misled} of ${plural(own.length, "target")} Kendall's tau is under ${MISLEADING}, so a model with fewer multiply-adds is often the slower one.`
    : "Multiply-adds order these models much as their latencies do."));
  const headings = ["Target", "Models", "Kendall's tau", "Pairs in the same order", "in the other order", "undecided"];
  const rows = own.map((order) => element("tr", { class: order.tau < MISLEADING ? "misleading" : null },
    element("th", { scope: "row" }, order.target),
    ...[order.models, order.tau.toFixed(2), order.same, order.other, order.undecided].map((value) => element("td", { class: "right" }, String(value)))));
  place.append(element("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Rank correlation of multiply-adds and latency" },
    element("table", {}, element("thead", {}, element("tr", {}, ...headings.map((heading, index) => element("th", { scope: "col", class: index ? "right" : null }, heading)))), element("tbody", {}, ...rows))));
  place.append(element("p", { class: "caption" }, "Kendall's tau is 1 if multiply-adds and latency give the same order, and 0 if they have nothing to do with each other. A pair is decided if its intervals do not overlap."));
}

async function start() {
  prepareDetail();
  makeTables();
  prepareFilters();
  updateTables();
  if (points.length) {
    prepareControls();
    prepareSlider();
    setDevice(state.device);
    await drawScatters();
  }
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}

start();
