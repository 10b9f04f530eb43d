"use strict";
// How every plot looks, and how it is reached by mouse and keyboard. Colours are CSS variables, so that a plot
// changes with the page between light, dark and print.

const COLOURS = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => `var(--series-${number})`);
const SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left"];
const ERRORS = 1; // Vega would also warn of each data set that is empty, such as the line of a budget that is not set
const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
const CONFIG = {
  background: null,
  font: FONT,
  padding: 4,
  view: { stroke: null },
  axis: {
    labelColor: "var(--quiet)", titleColor: "var(--quiet)", gridColor: "var(--line)", domainColor: "var(--line)",
    tickColor: "var(--line)", labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, titlePadding: 8,
  },
  legend: { labelColor: "var(--ink)", titleColor: "var(--quiet)", labelFontSize: 12, symbolSize: 80 },
  rule: { color: "var(--quiet)" },
  text: { color: "var(--ink)", fontSize: 12 },
};
const series = {
  field: "target",
  type: "nominal",
  scale: { domain: page.targets, range: page.targets.map((_, index) => COLOURS[index % COLOURS.length]) },
};
const shapes = { domain: page.targets, range: page.targets.map((_, index) => SHAPES[index % SHAPES.length]) };
const legend = { orient: "bottom", title: null, offset: 14, columns: { expr: "width < 370 ? 1 : width < 560 ? 2 : width < 720 ? 3 : 4" }, labelLimit: 190 };
const views = new Map();
// Vega warns of data sets that are empty at first, such as the line of a budget that is not set.

/** Draw a Vega-Lite specification into an element. `label` is its text for people who do not see it. */
async function draw(id, specification, label) {
  const host = document.getElementById(id);
  const result = await vegaEmbed(
    host,
    { width: "container", autosize: { type: "fit-x", contains: "padding", resize: true }, ...specification, description: label },
    { actions: false, renderer: "svg", logLevel: ERRORS, config: CONFIG, tooltip: { disableDefaultStyle: true } },
  );
  host.querySelector("svg").setAttribute("role", "graphics-document");
  host.querySelector("svg").setAttribute("aria-label", label);
  views.set(id, result.view);
  return result.view;
}

/** Show other rows in a plot: names of its data sets, and their rows. */
async function show(id, sets) {
  const view = views.get(id);
  if (!view) return;
  for (const [name, rows] of Object.entries(sets)) view.data(name, rows);
  await view.runAsync();
}

/** Let a plot's points be opened by mouse, and by arrow keys and Enter. `order` returns its points from left to right. */
function makeReachable(id, order, label) {
  const host = document.getElementById(id);
  let place = -1;
  host.tabIndex = 0;
  host.setAttribute("role", "application");
  host.setAttribute("aria-label", `${label} Arrow keys move between measurements, Enter opens one.`);
  const mark = (point) => show(id, { cursor: point ? [point] : [] });
  views.get(id).addEventListener("click", (_, item) => {
    if (item && item.datum && pointById.has(item.datum.id)) openDetail(item.datum.id, host);
  });
  host.addEventListener("blur", () => mark(null));
  host.addEventListener("keydown", (event) => {
    const shown = order();
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
    if (event.key in steps && shown.length) {
      place = Math.min(shown.length - 1, Math.max(0, place + steps[event.key]));
      const point = shown[place];
      say(`${point.title}, ${point.target}: ${point.latency_text}, accuracy ${point.accuracy_text}`);
      mark(point);
    } else if (event.key === "Enter" && shown[place]) {
      openDetail(shown[place].id, host);
    } else {
      return;
    }
    event.preventDefault();
  });
}
