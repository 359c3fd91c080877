"use strict";
// What the report does beyond paper: fold and mark the contents, sort and filter tables, explore
// predictions. Without this script the page reads as it stands.

const FILTERED_FROM = 8; // rows; shorter tables need no filter

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// ---- contents ----

function markSection() {
  const links = [...document.querySelectorAll("nav a")];
  const headings = links.map((link) => document.getElementById(decodeURIComponent(link.hash.slice(1))));
  let waiting = false;
  const mark = () => {
    waiting = false;
    const passed = headings.filter((heading) => heading.getBoundingClientRect().top < innerHeight / 3);
    links.forEach((link, index) => {
      if (index === passed.length - 1) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
  };
  addEventListener("scroll", () => {
    if (!waiting) requestAnimationFrame(mark);
    waiting = true;
  }, { passive: true });
  mark();
}

// ---- tables ----

function compare(a, b) {
  // Numbers, which Python found, come before texts, and "–", what is missing, comes last.
  const [first, second] = [a, b].map((cell) => ("order" in cell.dataset ? Number(cell.dataset.order) : NaN));
  if (!isNaN(first) && !isNaN(second)) return first - second;
  return a.textContent.localeCompare(b.textContent);
}

function kind(cell) {
  return "order" in cell.dataset ? 0 : cell.textContent.startsWith("–") ? 2 : 1;
}

function sortable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = element("button", { type: "button", title: "Sort by this column" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const order = ([a, b]) => kind(a) - kind(b) || sign * compare(a, b);
      const rows = [...body.rows].sort((a, b) => order([a.cells[column], b.cells[column]]));
      body.append(...rows);
    });
  });
}

function filterable(holder) {
  const rows = [...holder.querySelectorAll("tbody tr")];
  if (rows.length < FILTERED_FROM) return;
  const input = element("input", { type: "search", placeholder: "part of a row" });
  const count = element("output");
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase();
    rows.forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(wanted); });
    const left = rows.filter((row) => !row.hidden).length;
    count.textContent = wanted ? `${left} of ${rows.length} rows` : "";
  });
  holder.before(element("p", { class: "filter" }, element("label", {}, "Show rows with ", input), " ", count));
}

// ---- predictions to explore ----

function digits(value, decimals = 2) {
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? "0" : text.replace("-", "−");
}

function percent(share) {
  return share < 0.9995 ? `${(100 * share).toFixed(1)} %` : "over 99.9 %"; // never certain
}

function bar(value, limit, text) {
  const width = limit > 0 ? (50 * Math.abs(value)) / limit : 0;
  const side = value < 0 ? "right" : "left";
  const fill = element("i", { class: value < 0 ? "negative" : "positive", style: `${side}: 50%; width: ${width}%` });
  return element("td", { title: text }, text, element("span", { class: "bar" }, fill));
}

class Explorer {
  constructor(section, experiments) {
    this.experiments = experiments;
    this.controls = section.querySelector("form").elements;
    this.place = section.querySelector(".chosen");
    this.fill("experiment", experiments.map((one) => `${one.title} (${one.name})`), 0);
    this.controls.experiment.addEventListener("change", () => this.enter());
    for (const name of ["robust_reg", "seed", "example"]) {
      this.controls[name].addEventListener("change", () => this.show());
    }
    section.hidden = false;
    this.enter();
  }

  fill(name, labels, chosen) {
    const options = labels.map((label, index) => element("option", { value: index }, label));
    this.controls[name].replaceChildren(...options);
    this.controls[name].selectedIndex = chosen;
  }

  get experiment() {
    return this.experiments[this.controls.experiment.selectedIndex];
  }

  enter() {
    this.fill("robust_reg", this.experiment.lambdas, this.experiment.headline);
    this.fill("seed", this.experiment.seeds, 0);
    this.fill("example", this.experiment.examples.map((one) => one.label), 0);
    this.show();
  }

  show() {
    const { experiment, controls } = this;
    const [seed, example] = [controls.seed.selectedIndex, controls.example.selectedIndex];
    const along = experiment.cells.map((seeds) => seeds[seed][example]); // by λ
    const cell = along[controls.robust_reg.selectedIndex];
    const { image } = experiment.examples[example];
    this.place.replaceChildren(
      element("p", { class: "reason", "aria-live": "polite" }, cell.reason),
      element("div", { class: "panels" },
        ...(image ? [element("img", { src: image, alt: "the input" })] : []),
        this.concepts(cell, along)),
      element("p", {}, cell.sum),
      this.along(along),
    );
  }

  concepts(cell, along) {
    const columns = {
      concepts: this.experiment.examples[0].image ? "concept" : "value",
      relevances: "relevance",
      contributions: "contribution",
      changes: "without it, probability changes by points",
    };
    // One scale for all λ of this seed and example, so that bars can be compared.
    const limit = (key) => Math.max(...along.flatMap((one) => one[key].map(Math.abs)));
    const limits = Object.keys(columns).map(limit);
    const rows = this.experiment.concepts.map((name, row) => element("tr", {},
      element("th", { scope: "row" }, name),
      ...Object.keys(columns).map((key, column) => {
        const value = cell[key][row];
        return bar(value, limits[column], key === "changes" ? digits(100 * value, 1) : digits(value));
      })));
    const head = ["", ...Object.values(columns)].map((text) => element("th", { scope: "col" }, text));
    return element("table", { class: "bars" },
      element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  }

  along(along) {
    const chosen = this.controls.robust_reg.selectedIndex;
    const cells = along.map((one, index) => {
      const here = index === chosen ? { "aria-current": "true" } : {};
      return element("td", here, one.says, element("small", {}, percent(one.p)));
    });
    const heads = this.experiment.lambdas.map((value) => element("th", { scope: "col" }, `λ = ${value}`));
    return element("table", { class: "along" },
      element("caption", {}, "What the model says of this example at every λ, with this seed"),
      element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, element("tr", {}, ...cells)));
  }
}

// ---- at the start ----

// Right away, before the page below is drawn: the contents stay open only where they have a column.
document.querySelector("nav details").open = matchMedia("(min-width: 72rem)").matches;

document.addEventListener("DOMContentLoaded", () => {
  markSection();
  document.querySelectorAll(".table").forEach((holder) => {
    sortable(holder.querySelector("table"));
    filterable(holder);
  });
  const data = document.getElementById("explorer-data");
  if (data) new Explorer(document.querySelector(".explorer"), JSON.parse(data.textContent));
});
