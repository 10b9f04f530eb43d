"use strict";
// The tables: sorted by a click on a heading, filtered by the form, each row opens its measurement.

const ROWS_AT_FIRST = 40;

class ResultTable {
  constructor(data, caption) {
    this.data = data;
    this.order = data.ids.map((_, index) => index);
    this.sorted = null;
    this.limit = ROWS_AT_FIRST;
    this.body = element("tbody");
    this.more = element("button", { type: "button", class: "more", onclick: () => { this.limit = Infinity; updateTables(); } });
    this.headings = data.columns.map((column, index) => this.heading(column, index));
    const table = element("table", {}, element("caption", { class: "visually-hidden" }, caption), element("thead", {}, element("tr", {}, ...this.headings)), this.body);
    const scroller = element("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": caption }, table);
    this.box = element("div", { class: "table" }, ...(data.heading ? [element("h3", {}, data.heading)] : []), scroller, this.more);
  }

  heading(column, index) {
    const button = element("button", { type: "button", onclick: () => this.sort(index) }, column.title);
    return element("th", { scope: "col", class: column.right ? "right" : null, "data-key": column.key }, button);
  }

  text(row, key) {
    const column = this.data.columns.find((one) => one.key === key);
    return column ? textOf(column, row) : "";
  }

  value(row, column) {
    return column.values ? column.values[row] : textOf(column, row);
  }

  sort(index) {
    const column = this.data.columns[index];
    const first = column.best_high ? -1 : 1;
    const again = this.sorted && this.sorted.index === index;
    const direction = again ? -this.sorted.direction : first;
    this.sorted = { index, direction };
    this.order.sort((one, other) => compare(this.value(one, column), this.value(other, column), direction) || one - other);
    this.headings.forEach((heading, place) => {
      if (place === index) heading.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else heading.removeAttribute("aria-sort");
    });
    this.render();
  }

  /** The rows that pass the filters, in their order. */
  rows() {
    const device = state.onlyDevice ? deviceById.get(state.onlyDevice).label : "";
    return this.order.filter(
      (row) =>
        passes(`${this.text(row, "recipe")} ${this.text(row, "device")}`, this.text(row, "target"), this.text(row, "result")) &&
        (!device || this.text(row, "device") === device || this.text(row, "device") === device.split(" ")[0]),
    );
  }

  render() {
    const rows = this.rows();
    this.body.replaceChildren(...rows.slice(0, this.limit).map((row) => this.row(row)));
    this.more.hidden = rows.length <= this.limit;
    this.more.textContent = `Show all ${rows.length} rows`;
    this.box.hidden = !rows.length;
    return rows.length;
  }

  row(index) {
    const id = this.data.ids[index];
    const cells = this.data.columns.map((column, place) => this.cell(column, textOf(column, index), place, id));
    const open = id === null ? null : (event) => { if (!event.target.closest("button")) openDetail(id, event.currentTarget.querySelector("button")); };
    return element("tr", { class: id === null ? null : "opens", "data-id": id, ...(open ? { onclick: open } : {}) }, ...cells);
  }

  cell(column, text, place, id) {
    if (place === 0) {
      const name = id === null ? text : element("button", { type: "button", class: "open", onclick: (event) => openDetail(id, event.currentTarget) }, text);
      return element("th", { scope: "row" }, name);
    }
    const made = element("td", { class: column.right ? "right" : null, "data-key": column.key }, text);
    if (column.key === "result") made.dataset.result = text;
    return made;
  }
}

function textOf(column, row) {
  return column.cells.texts[column.cells.cells[row]];
}

/** Order two values; what is not known comes last in both directions. */
function compare(one, other, direction) {
  if (one === null || other === null) return (one === null) - (other === null);
  if (typeof one === "string" || typeof other === "string") return direction * String(one).localeCompare(String(other), "en", { numeric: true });
  return direction * (one - other);
}

let resultTables = [];
let failureTable = null;

function makeTables() {
  resultTables = page.tables.map((data) => new ResultTable(data, data.heading || "Results"));
  const place = document.getElementById("tables");
  if (place) place.append(...resultTables.map((table) => table.box));
  if (page.failures) {
    failureTable = new ResultTable(page.failures, "Failures");
    document.getElementById("failure-table").append(failureTable.box);
  }
}

function updateTables() {
  const all = page.tables.reduce((sum, table) => sum + table.ids.length, 0);
  const shown = resultTables.reduce((sum, table) => sum + table.render(), 0);
  const place = document.getElementById("count");
  const cut = resultTables.some((table) => !table.more.hidden);
  if (place) place.textContent = `${shown === all ? plural(all, "row") : `${shown} of ${plural(all, "row")}`}${cut ? `, the first ${ROWS_AT_FIRST} of a table are shown` : ""}`;
  if (failureTable) failureTable.render();
}
