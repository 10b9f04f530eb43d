"use strict";
// What all parts of the page share: the data, the state that controls change, and small helpers.

const page = JSON.parse(document.getElementById("data").textContent);
const points = unpacked(page.points);
const pointById = new Map(points.map((point) => [point.id, point]));
const deviceById = new Map(page.devices.map((device) => [device.id, device]));
const NO_LIMIT = Infinity;

const state = {
  device: mostMeasured(),
  metric: null,
  budget: NO_LIMIT,
  search: "",
  onlyDevice: "",
  target: "",
  result: "",
};

/** The device with the most measurements; the first of several. */
function mostMeasured() {
  const counts = page.devices.map((device) => points.filter((point) => point.device === device.id).length);
  const place = counts.indexOf(Math.max(...counts));
  return place < 0 ? null : page.devices[place].id;
}

/** The records of which the page has the columns. */
function unpacked(columns) {
  const names = Object.keys(columns);
  if (!names.length) return [];
  const lists = names.map((name) => (Array.isArray(columns[name]) ? columns[name] : columns[name].cells.map((cell) => columns[name].texts[cell])));
  return lists[0].map((_, index) => Object.fromEntries(names.map((name, place) => [name, lists[place][index]])));
}

/** Make an element; children are elements or texts, never HTML. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** A probability for people; never 0 or 100 %, which no sample can show. */
function percent(probability) {
  if (probability > 0.995) return ">99 %";
  return probability < 0.005 ? "<1 %" : `${Math.round(100 * probability)} %`;
}

/** A number with three significant digits. */
function short(value) {
  return value >= 1000 ? value.toFixed(0) : value.toPrecision(3);
}

function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

/** Say something to people who listen to the page. */
function say(text) {
  const place = document.getElementById("said");
  if (place) place.textContent = text;
}

/** Whether a title, target and result pass the filters. */
function passes(title, target, result) {
  const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
  const text = `${title} ${target} ${result}`.toLowerCase();
  return (
    words.every((word) => text.includes(word)) &&
    (!state.target || state.target === target) &&
    (!state.result || state.result === result)
  );
}

/** The measurements that the plots show now. */
function shownPoints() {
  return points.filter(
    (point) => point.device === state.device && passes(point.title, point.target, point.result),
  );
}
