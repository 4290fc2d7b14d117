"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
// The colours of Okabe and Ito, which colour-blind people can tell apart.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "currentColor"];
const DASHES = ["", "7 3", "2 3", "9 3 2 3"];
const WIDTH = 1000, HEIGHT = 380, LEFT = 70, RIGHT = 20, TOP = 15, BOTTOM = 45;
const hidden = new Set();

function sortBy(heading) {
  const table = heading.closest("table"), place = heading.cellIndex;
  const ascending = heading.getAttribute("aria-sort") === "descending" ||
    (!heading.hasAttribute("aria-sort") && !heading.classList.contains("number"));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  // The second line of a cell qualifies the first, whose number is its first word.
  const key = row => (row.cells[place].firstChild?.textContent ?? "").replace("▸", "").trim();
  const rows = [...table.tBodies[0].rows].map(row => ({row, text: key(row), number: Number(key(row).split(" ")[0])}));
  const numeric = rows.every(one => one.text === "" || one.text === "unknown" || !Number.isNaN(one.number));
  const missing = one => one.text === "" || (numeric && Number.isNaN(one.number));
  rows.sort((one, other) => {
    // What is unknown comes last in both directions.
    if (missing(one) || missing(other)) return missing(one) - missing(other);
    const order = numeric ? one.number - other.number : one.text.localeCompare(other.text, "en", {numeric: true});
    return ascending ? order : -order;
  });
  table.tBodies[0].append(...rows.map(one => one.row));
}

function filter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  hidden.clear();
  data.names.forEach((name, row) => {
    // Also as the tables show it, with short keys and numbers.
    const shown = document.querySelector(`#results tr[data-row="${row}"]`).cells[0].innerText;
    if (!words.every(word => `${name} ${shown}`.toLowerCase().includes(word))) hidden.add(row);
  });
  for (const element of document.querySelectorAll("[data-row]")) element.hidden = hidden.has(Number(element.dataset.row));
  document.getElementById("count").textContent = `${data.names.length - hidden.size} of ${data.names.length} rows`;
  draw();
}

function make(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Round numbers between two ends, about six.
function ticks(low, high) {
  const rough = (high - low) / 6, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(size => size >= rough);
  const found = [];
  for (let number = Math.ceil(low / step); number * step <= high * (1 + 1e-9); number++) found.push(Number((number * step).toPrecision(10)));
  return found;
}

function stroke(row) {
  return {stroke: COLOURS[row % COLOURS.length], "stroke-dasharray": DASHES[Math.floor(row / COLOURS.length) % DASHES.length]};
}

function draw() {
  const select = document.getElementById("tag");
  if (!select) return;
  const runs = data.runs.filter(run => run.curves[select.value] && !hidden.has(run.row));
  const points = runs.flatMap(run => run.curves[select.value]).filter(point => point[1] !== null);
  const chart = document.getElementById("chart"), legend = document.getElementById("legend");
  chart.replaceChildren();
  legend.replaceChildren();
  if (!points.length) return;
  const range = place => points.reduce(([low, high], point) => [Math.min(low, point[place]), Math.max(high, point[place])], [Infinity, -Infinity]);
  const widen = ([low, high]) => low === high ? [low - 1, high + 1] : [low, high];
  const [[left, right], [bottom, top]] = [widen(range(0)), widen(range(1))];
  const x = step => LEFT + (step - left) / (right - left) * (WIDTH - LEFT - RIGHT);
  const y = value => HEIGHT - BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT - TOP - BOTTOM);
  const svg = make("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": select.value});
  for (const value of ticks(bottom, top)) {
    svg.append(make("line", {x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value)}));
    svg.append(make("text", {x: LEFT - 8, y: y(value) + 4, "text-anchor": "end"}, value));
  }
  for (const step of ticks(left, right)) svg.append(make("text", {x: x(step), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle"}, step));
  svg.append(make("text", {x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle"}, "step"));
  for (const run of runs) {
    let path = "", pen = "M";
    for (const [step, value] of run.curves[select.value]) {
      if (value !== null) path += `${pen}${x(step).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = value === null ? "M" : "L";
    }
    const line = make("path", {d: path, fill: "none", "stroke-width": 1.6, ...stroke(run.row)});
    line.append(make("title", {}, `${data.names[run.row]}, ${run.name}`));
    svg.append(line);
  }
  chart.append(svg);
  for (const row of [...new Set(runs.map(run => run.row))].slice(0, COLOURS.length * DASHES.length)) {
    const entry = document.createElement("li"), key = make("svg", {viewBox: "0 0 36 10"});
    key.append(make("line", {x1: 0, x2: 36, y1: 5, y2: 5, "stroke-width": 2, ...stroke(row)}));
    entry.append(key, data.names[row]);
    legend.append(entry);
  }
}

for (const heading of document.querySelectorAll(".sortable th")) heading.firstElementChild.addEventListener("click", () => sortBy(heading));
document.getElementById("filter").addEventListener("input", event => filter(event.target.value));
document.addEventListener("click", event => {
  // A link to a run opens it.
  const run = event.target.matches("a[href^='#run-']") && document.querySelector(event.target.getAttribute("href"));
  if (run) run.open = true;
});
const select = document.getElementById("tag");
if (select) {
  const tags = [...new Set(data.runs.flatMap(run => Object.keys(run.curves)))].sort();
  for (const tag of tags) select.add(new Option(tag, tag, false, tag === data.first));
  select.addEventListener("change", draw);
  draw();
}
