"use strict";
// The three plots of measurements: accuracy, size and multiply-adds, each with latency.

const LATENCY = "Latency, ms (measured, log scale)";
const tooltip = [
  { field: "title", title: "Model" },
  { field: "target", title: "Target" },
  { field: "latency_text", title: "Latency" },
  { field: "accuracy_text", title: "Accuracy" },
  { field: "size_text", title: "Size" },
  { field: "result", title: "Result" },
  { field: "note", title: "Recommendation" },
  { field: "weights", title: "Weights" },
];

function logarithmic(field, title) {
  return { field, type: "quantitative", title, scale: { type: "log", nice: false, padding: 10 }, axis: { format: "~r", labelOverlap: "greedy" } };
}

function ring(name, x, y, colour, dash) {
  return {
    data: { name },
    mark: { type: "point", size: 260, strokeWidth: 2.5, stroke: colour, strokeDash: dash, fill: null, tooltip: null },
    encoding: { x, y },
  };
}

/** Points with their marks: hollow for what takes no part, faint for what is not on the front. */
function dots(x, y) {
  return {
    name: "dots",
    data: { name: "points" },
    mark: { type: "point", size: 62, strokeWidth: 1.4, cursor: "pointer" },
    encoding: {
      x,
      y,
      tooltip,
      shape: { field: "target", type: "nominal", scale: shapes, legend },
      stroke: { ...series, legend },
      fill: { ...series, legend },
      fillOpacity: { condition: { test: "datum.excluded !== ''", value: 0 }, value: 0.85 },
      opacity: { condition: { test: "datum.faint", value: 0.45 }, value: 1 },
    },
  };
}

/** An interval as a bar; `low` and `high` are its fields. */
function bar(horizontal, x, y, low, high) {
  const own = horizontal ? { ...x, field: low } : { ...y, field: low };
  const ends = horizontal ? { x: own, x2: { field: high }, y } : { x, y: own, y2: { field: high } };
  return {
    data: { name: "points" },
    mark: { type: "rule", strokeWidth: 1.2 },
    encoding: { ...ends, stroke: series, opacity: { condition: { test: "datum.faint", value: 0.25 }, value: 0.7 } },
  };
}

function accuracySpecification(sets) {
  const x = logarithmic("latency", LATENCY);
  const y = { field: "accuracy", type: "quantitative", title: "Accuracy, %", scale: { zero: false, padding: 8 } };
  return {
    height: 440,
    datasets: { ...sets, cursor: [] },
    layer: [
      {
        data: { name: "limit" },
        mark: { type: "rule", stroke: "var(--accent)", strokeDash: [5, 4], strokeWidth: 1.5 },
        encoding: { x },
      },
      {
        data: { name: "front" },
        mark: { type: "line", interpolate: "step-after", stroke: "var(--front)", strokeWidth: 2 },
        encoding: { x, y },
      },
      bar(false, x, y, "accuracy_low", "accuracy_high"),
      bar(true, x, y, "low", "high"),
      dots(x, y),
      ring("winner", x, y, "var(--accent)", [1, 0]),
      ring("cursor", x, y, "var(--ink)", [3, 2]),
    ],
  };
}

function costSpecification(rows, field, title) {
  const x = logarithmic(field, title);
  const y = logarithmic("latency", LATENCY);
  return {
    height: 300,
    datasets: { points: rows, cursor: [] },
    layer: [bar(false, x, y, "low", "high"), dots(x, y), ring("cursor", x, y, "var(--ink)", [3, 2])],
  };
}

const bySize = (point) => ({ ...point, megabytes: point.size / 1e6 });
const byCost = (point) => ({ ...point, mega: point.multiply_adds / 1e6 });
const ordered = (points, value) => [...points].sort((one, other) => value(one) - value(other));

/** The points of the accuracy plot, with what is said of each. */
function accuracyPoints() {
  const answer = page.answers[state.device];
  const front = new Map(answer ? answer.front.map((one) => [one.id, one.probability]) : []);
  const drawn = shownPoints().filter((point) => point.accuracy !== null && point.metric === state.metric);
  return ordered(drawn, (point) => point.latency).map((point) => ({
    ...point,
    faint: answer !== undefined && !front.has(point.id),
    note: noteOf(point, front.get(point.id), answer),
  }));
}

function noteOf(point, probability, answer) {
  if (point.excluded) return point.excluded;
  if (!answer) return "none on this page";
  return probability === undefined ? "not on the Pareto front" : `on the Pareto front (P ${percent(probability)})`;
}

function costPoints(make, field) {
  const drawn = shownPoints().filter((point) => point[field] !== null);
  return drawn.map((point) => ({ ...make(point), faint: false, note: point.excluded || "takes part" }));
}

function frontPoints() {
  const answer = page.answers[state.device];
  const ids = answer ? answer.front.map((one) => one.id) : [];
  const found = ids.map((id) => pointById.get(id)).filter((point) => point && point.accuracy !== null && point.metric === state.metric);
  return ordered(found, (point) => point.latency);
}

/** The rows of all data sets of the accuracy plot. */
function accuracySets() {
  return { points: accuracyPoints(), front: frontPoints(), ...budgetRows() };
}

async function drawScatters() {
  await draw("accuracy-plot", accuracySpecification(accuracySets()), "Accuracy and latency of the measured models, with intervals and the Pareto front.");
  makeReachable("accuracy-plot", accuracyPoints, "Accuracy and latency.");
  await draw("size-plot", costSpecification(costPoints(bySize, "size"), "megabytes", "Size, MB (log scale)"), "Size and latency of the measured models.");
  makeReachable("size-plot", () => ordered(costPoints(bySize, "size"), (point) => point.size), "Size and latency.");
  await draw("cost-plot", costSpecification(costPoints(byCost, "multiply_adds"), "mega", "Multiply-adds, millions (counted, log scale)"), "Multiply-adds and latency of the measured models.");
  makeReachable("cost-plot", () => ordered(costPoints(byCost, "multiply_adds"), (point) => point.multiply_adds), "Multiply-adds and latency.");
  describePlot();
}

/** Show what the device, the metric and the filters choose. */
async function updateScatters() {
  describePlot();
  await show("accuracy-plot", accuracySets());
  await show("size-plot", { points: costPoints(bySize, "size") });
  await show("cost-plot", { points: costPoints(byCost, "multiply_adds") });
}

/** Say below the accuracy plot what it shows, and hide it if it shows nothing. */
function describePlot() {
  const drawn = accuracyPoints();
  document.getElementById("accuracy-plot").hidden = !drawn.length;
  document.getElementById("accuracy-title").textContent = accuracyTitle(drawn);
  document.getElementById("accuracy-caption").textContent = drawn.length ? accuracyCaption(drawn) : nothingDrawn();
}

/** The heading, with what the accuracies are of. */
function accuracyTitle(drawn) {
  if (!drawn.length) return "Accuracy and latency";
  return `Accuracy (${state.metric}, ${drawn[0].accuracy_kind === "published" ? "published" : "of these artifacts"}) and latency`;
}

function nothingDrawn() {
  if (!shownPoints().length) return "No measurement on this device passes the filters.";
  return "No measurement here has an accuracy, and none is published for these networks. Measure it: edgekit evaluate RECIPE --target T --data DIR.";
}

/** The budget's line and the ring around the recommended model. */
function budgetRows() {
  const winner = winnerOf(page.answers[state.device], state.budget);
  const point = winner && pointById.get(winner.id);
  return {
    limit: state.budget === NO_LIMIT ? [] : [{ latency: state.budget }],
    winner: point && point.accuracy !== null ? [point] : [],
  };
}

function accuracyCaption(drawn) {
  const all = shownPoints();
  const without = all.filter((point) => point.accuracy === null).length;
  const random = drawn.filter((point) => point.random).length;
  const published = drawn.some((point) => point.accuracy_kind === "published");
  const hollow = drawn.some((point) => point.excluded);
  const parts = ["Bars: 95 % intervals, or what the sessions allow. Line: Pareto front."];
  if (published) parts.push("Accuracies here are published ones of the papers' weights, not of these artifacts; bars are the range of the sources. Measure them: edgekit evaluate RECIPE --target T --data DIR.");
  if (hollow) parts.push("Hollow: takes no part in the recommendation.");
  if (without) parts.push(`${plural(without, "measurement has", "measurements have")} no accuracy and no place here: edgekit evaluate RECIPE --target T --data DIR.`);
  if (random) parts.push(`${plural(random, "measurement has", "measurements have")} random weights: latency is valid, accuracy is not.`);
  return parts.join(" ");
}
