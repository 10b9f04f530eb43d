"use strict";
// One measurement: its sessions, its verdict and why, its conditions, its manifest, and how to repeat it.

/** Show a measurement in the dialog. When it closes, the browser gives the focus back. */
function openDetail(id) {
  const dialog = document.getElementById("detail");
  const point = pointById.get(id);
  document.getElementById("detail-title").textContent = `${point.title} ${point.target}`;
  document.getElementById("detail-body").replaceChildren(...detailParts(point, page.details[id]));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  drawSessions(point, page.details[id]);
  drawLayers(page.details[id]);
}

function prepareDetail() {
  const dialog = document.getElementById("detail");
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

function detailParts(point, detail) {
  const device = deviceById.get(point.device);
  const parts = [
    element("p", { class: "headline" }, element("strong", { id: "detail-latency" }, point.latency_text), ` on ${device.label} (${device.model}), ${point.kind}`),
    element("p", {}, element("span", { class: `badge ${point.result === "stable" ? "good" : "unsure"}` }, point.result), ` ${detail.evidence}`),
    element("p", {}, `Accuracy: ${point.accuracy_text}. Size: ${point.size_text}. Weights: ${point.weights}.`),
  ];
  if (detail.memory) parts.push(element("p", {}, `Memory: ${detail.memory}.`));
  if (point.random) parts.push(element("p", { class: "warning" }, "The weights are random: the latency holds, the accuracy does not."));
  if (point.excluded) parts.push(element("p", { class: "warning" }, `Takes no part in the recommendation: ${point.excluded}`));
  parts.push(element("h3", {}, "Sessions"), element("div", { class: "plot", id: "session-plot" }), element("p", { class: "caption" }, sessionCaption(detail)));
  if (detail.layers.length) {
    parts.push(element("h3", {}, "Time by layer"), element("div", { class: "plot", id: "layer-plot" }), element("p", { class: "caption" }, detail.profiled));
  }
  const artifact = page.artifacts[detail.artifact];
  const commands = [`${artifact.deploy} ${detail.where}`, artifact.evaluate].filter(Boolean);
  parts.push(element("h3", {}, "Measure it again"), ...commands.map((command) => element("pre", { tabindex: "0" }, command)));
  const facts = (indexes) => indexes.map((index) => page.facts[index]);
  const statistics = page.statistics.map((name, place) => [name, detail.statistics[place] ?? "unknown"]);
  parts.push(factList("Statistics, latencies in ms", statistics), factList("Conditions", facts(detail.conditions)), factList("Manifest", facts(artifact.manifest)));
  return parts;
}

function sessionCaption(detail) {
  const shown = detail.samples.reduce((sum, own) => sum + own.length, 0);
  const all = detail.statistics[page.statistics.indexOf("iterations")];
  const some = shown ? `Dots: ${shown} of ${all} samples, evenly spaced. ` : "The program gave no samples. ";
  return `${some}Line: the centre of each session. Band: the interval of the latency.`;
}

function factList(heading, facts) {
  const rows = facts.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, String(value))));
  const table = element("table", { class: "facts" }, element("tbody", {}, ...rows));
  return element("details", {}, element("summary", {}, `${heading} (${facts.length})`), element("div", { class: "scroller" }, table));
}

/** The rows of the session plot: samples in their order within each session, and a line for each centre. */
function sessionRows(detail) {
  const samples = detail.samples.flatMap((own, session) => own.map((ms, index) => ({ place: session + 1 + 0.7 * ((index + 0.5) / own.length - 0.5), ms })));
  const centres = detail.centres.map((ms, session) => ({ from: session + 0.62, to: session + 1.38, ms }));
  return { samples, centres };
}

function drawSessions(point, detail) {
  const { samples, centres } = sessionRows(detail);
  const count = Math.max(1, centres.length);
  const x = { type: "quantitative", title: "Session", scale: { domain: [0.4, count + 0.6], nice: false }, axis: { values: centres.map((_, index) => index + 1), format: "d", grid: false } };
  const y = { type: "quantitative", title: "Latency, ms", scale: { zero: false } };
  const specification = {
    height: 240,
    layer: [
      { data: { values: [{ low: point.low, high: point.high }] }, mark: { type: "rect", fill: "var(--accent)", opacity: 0.14 }, encoding: { y: { ...y, field: "low" }, y2: { field: "high" } } },
      { data: { values: samples }, mark: { type: "circle", size: 16, fill: "var(--series-1)", opacity: 0.6 }, encoding: { x: { ...x, field: "place" }, y: { ...y, field: "ms" } } },
      { data: { values: centres }, mark: { type: "rule", stroke: "var(--accent)", strokeWidth: 3 }, encoding: { x: { ...x, field: "from" }, x2: { field: "to" }, y: { ...y, field: "ms" } } },
    ],
  };
  const label = `Latency of ${plural(centres.length, "session")}; centres ${centres.map((one) => short(one.ms)).join(", ")} ms.`;
  return draw("session-plot", specification, label);
}

/** Bars of the parts of the network in the order in which they run; what ran off the delegate has its own colour. */
function drawLayers(detail) {
  if (!detail.layers.length) return null;
  const parts = [["in the delegate", "inside"], ["off the delegate", "outside"]].filter(([, key]) => detail.layers.some((layer) => layer[key] > 0));
  const rows = detail.layers.flatMap((layer) => parts.map(([part, key]) => ({ layer: layer.name, part, share: layer[key] })));
  const names = parts.map(([part]) => part);
  const colour = { field: "part", type: "nominal", scale: { domain: names, range: names.map((part) => (part === "in the delegate" ? "var(--series-1)" : "var(--unsure)")) } };
  const specification = {
    height: 16 * detail.layers.length,
    data: { values: rows },
    mark: { type: "bar", tooltip: true },
    encoding: {
      y: { field: "layer", type: "nominal", sort: null, title: null, axis: { labelLimit: 150 } },
      x: { field: "share", type: "quantitative", title: "Share of a run", axis: { format: "%" } },
      fill: { ...colour, legend: { ...legend, symbolType: "square" } },
      tooltip: [{ field: "layer", title: "layer" }, { field: "part", title: "where" }, { field: "share", title: "share", format: ".1%" }],
    },
  };
  const slowest = detail.layers.reduce((one, other) => (other.inside + other.outside > one.inside + one.outside ? other : one));
  const most = `${Math.round(100 * (slowest.inside + slowest.outside))} %`;
  return draw("layer-plot", specification, `Share of time of ${plural(detail.layers.length, "layer")}; the slowest is ${slowest.name} with ${most}.`);
}
