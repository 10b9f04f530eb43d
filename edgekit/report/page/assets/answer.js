"use strict";
// The recommended model for each device, by the budget that the slider sets.

const STEPS = 1000;

/** The smallest and largest latency at which an answer changes, in ms. */
function budgetRange() {
  const spans = Object.values(page.answers).flatMap((answer) => answer.budgets);
  if (!spans.length) return null;
  const lows = spans.map((span) => span.low);
  return [Math.min(...lows) * 0.95, Math.max(...lows) * 1.1];
}

/** The likeliest model of an answer for a budget; undefined if none is within it. */
function winnerOf(answer, budget) {
  return answer && answer.budgets.find((span) => budget >= span.low && (span.high === null || budget < span.high));
}

function prepareSlider() {
  const slider = document.getElementById("budget");
  const range = budgetRange();
  if (!slider || !range) {
    if (slider) slider.closest(".field").hidden = true;
    return;
  }
  const [low, high] = range;
  const apply = () => {
    const place = Number(slider.value);
    state.budget = place >= STEPS ? NO_LIMIT : low * (high / low) ** (place / (STEPS - 1));
    const text = state.budget === NO_LIMIT ? "no limit" : `${short(state.budget)} ms`;
    document.getElementById("budget-text").textContent = text;
    slider.setAttribute("aria-valuetext", text);
    showAnswers();
    show("accuracy-plot", budgetRows());
  };
  slider.addEventListener("input", apply);
  apply();
}

function showAnswers() {
  const list = document.getElementById("answers");
  list.replaceChildren(...page.devices.map((device) => answerItem(device)));
  showBasis();
}

function answerItem(device) {
  const answer = page.answers[device.id];
  const chosen = device.id === state.device;
  const item = element("li", { "data-device": device.id, "aria-current": chosen ? "true" : null });
  item.append(
    element("button", { class: "device-name", type: "button", "aria-pressed": String(chosen), title: "Show this device in the plots", onclick: () => chooseDevice(device.id) }, device.label),
  );
  if (answer) item.append(...recommendation(answer));
  return item;
}

function recommendation(answer) {
  const winner = winnerOf(answer, state.budget);
  if (!winner) return [element("p", { class: "none" }, nothingFits(answer))];
  const point = pointById.get(winner.id);
  const sure = winner.probability >= 0.95;
  const span = winner.high === null ? `from ${short(winner.low)} ms on` : `from ${short(winner.low)} to ${short(winner.high)} ms`;
  const made = [
    element("button", { class: "model", type: "button", "data-id": point.id, onclick: (event) => openDetail(point.id, event.currentTarget) }, `${point.title} ${point.target}`),
    element("span", { class: `badge ${sure ? "good" : "unsure"}`, title: `Probability of being the best choice, in the middle of its span of budgets: ${span}` }, sure ? `sure, P ${percent(winner.probability)}` : `likeliest, P ${percent(winner.probability)}`),
    element("p", { class: "figures" }, `${point.latency_text}; ${point.accuracy_text}; ${point.size_text}`),
    element("p", { class: "span" }, `The answer for budgets ${span}.`),
  ];
  if (point.random) made.push(element("p", { class: "warning" }, `Its weights are random: ${point.weights}. Train it before you ship it.`));
  return made;
}

function nothingFits(answer) {
  if (!answer.budgets.length) return "No model takes part. The reasons are below.";
  return `No model is that fast. The fastest answer starts at ${short(answer.budgets[0].low)} ms.`;
}

/** What the answers of the chosen device rest on. */
function showBasis() {
  const place = document.getElementById("basis");
  const answer = page.answers[state.device];
  place.replaceChildren();
  if (!answer) return;
  const lines = [`${deviceById.get(state.device).label}.`];
  if (answer.accuracy) lines.push(answer.accuracy);
  const reasons = Object.entries(answer.reasons).map(([reason, count]) => `${count} ${reason}`);
  if (reasons.length) lines.push(`Take no part: ${reasons.join(", ")}.`);
  if (answer.retired) lines.push(`${plural(answer.retired, "model is", "models are")} beaten by another in speed and accuracy with P of 95 % or more.`);
  place.append(element("p", { class: "caption" }, lines.join(" ")));
  if (answer.command) place.append(element("p", { class: "caption" }, "The measurement most likely to change the answer without a limit: ", element("code", {}, answer.command)));
}
