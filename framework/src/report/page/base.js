// ---- Nodes ----

function find(selector) {
  return document.querySelector(selector);
}

function findAll(selector) {
  return [...document.querySelectorAll(selector)];
}

/** Sets attributes (functions listen to events) and appends children (nodes or text; null is none). */
function dress(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (known(value) && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function html(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function path(kind, d, attributes = {}) {
  return svg("path", { class: kind, d, ...attributes });
}

function words(text, x, y, anchor = "start", kind = null) {
  return svg("text", { x, y, "text-anchor": anchor, class: kind }, text);
}

function picture(width, height, title, ...children) {
  const viewBox = `0 0 ${width} ${height}`;
  return svg("svg", { width, height, viewBox, role: "img" }, svg("title", {}, title), ...children);
}

function region(label, ...children) {
  return html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, ...children);
}

function options(select, entries, chosen) {
  const option = ([value, text]) => html("option", { value, selected: value === chosen }, text);
  select.replaceChildren(...entries.map(option));
}

/** Attributes that give a node the colour of an arm in either theme. */
function tint(look, more = "") {
  return { class: `tint ${more}`.trim(), style: `--light:${look.light};--dark:${look.dark}` };
}

const pen = document.createElement("canvas").getContext("2d");
const family = getComputedStyle(document.documentElement).getPropertyValue("--sans");

function textWidth(text, size = 12) {
  pen.font = `${size}px ${family}`;
  return pen.measureText(text).width;
}

/** The text, or so much of it as the width holds. */
function fit(text, width, size = 12) {
  if (textWidth(text, size) <= width) return text;
  let end = text.length;
  while (end > 1 && textWidth(text.slice(0, end) + "…", size) > width) end -= 1;
  return text.slice(0, end) + "…";
}

// ---- Numbers ----

function distinct(values) {
  return [...new Set(values)];
}

function known(value) {
  return value !== null && value !== undefined;
}

/** Smallest and largest known value; null of none. */
function extent(values) {
  let [lo, hi] = [Infinity, -Infinity];
  for (const v of values) {
    if (!known(v)) continue;
    if (v < lo) lo = v;
    if (v > hi) hi = v;
  }
  return lo > hi ? null : [lo, hi];
}

/** The range with a margin on both sides; one of a single value is made wide enough to draw. */
function widen([lo, hi], share) {
  const room = hi > lo ? (hi - lo) * share : Math.abs(lo) * 0.1 || 1;
  return [lo - room, hi + room];
}

function median(values) {
  const sorted = values.filter(known).sort((a, b) => a - b);
  return sorted.length ? sorted[sorted.length >> 1] : null;
}

/** Decimals that show two digits of the usual uncertainty, or three of the spread where none is known. */
function decimals(values, halves = []) {
  const half = median(halves.filter((h) => h > 0));
  if (half !== null) return clamp(1 - Math.floor(Math.log10(half)), 0, 9);
  const [lo, hi] = extent(values) ?? [0, 1];
  const spread = hi - lo || Math.abs(hi) || 1;
  return clamp(2 - Math.floor(Math.log10(spread)), 0, 9);
}

function clamp(value, lo, hi) {
  return Math.min(Math.max(value, lo), hi);
}

/** A very small or large number, such as 1.04e−6. */
function powered(value) {
  return value === 0 ? "0" : value.toExponential(2).replace("e+", "e").replaceAll("-", MINUS);
}

function number(value, digits) {
  if (!known(value)) return MISSING;
  if (digits > MOST_DECIMALS) return powered(value);
  const text = value.toFixed(digits);
  return Number(text) < 0 ? text.replace("-", MINUS) : text.replace("-", "");
}

function plusMinus(mean, half, digits) {
  return half === null || mean === null ? number(mean, digits) : `${number(mean, digits)} ± ${number(half, digits)}`;
}

function interval(lo, hi, digits) {
  return known(lo) && known(hi) ? `${number(lo, digits)} to ${number(hi, digits)}` : MISSING;
}

function pValue(p) {
  if (!known(p)) return MISSING;
  return p < 0.001 ? "<0.001" : p.toFixed(3);
}

function exact(value) {
  return known(value) ? String(Number(value.toPrecision(3))).replace("-", MINUS) : MISSING;
}

/** Round values in a range, about so many. */
function ticks([lo, hi], count, whole = false) {
  const raw = (hi - lo) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const usable = (m) => m * power >= raw * (1 - 1e-9) && !(whole && (m * power) % 1 > 1e-9);
  const step = Math.max(([1, 2, 2.5, 5, 10].find(usable) ?? 10) * power, whole ? 1 : 0);
  const [first, last] = [Math.ceil(lo / step - 1e-9), Math.floor(hi / step + 1e-9)];
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step);
}

function tickLabels(values) {
  const largest = Math.max(0, ...values.map(Math.abs));
  if (largest > 0 && (largest < 1e-3 || largest >= 1e6)) return values.map((v) => powered(v).replace(/\.?0+e/, "e"));
  const whole = (v) => Math.abs(v - Math.round(v)) < 1e-6 * Math.max(1, Math.abs(v));
  const enough = (d) => values.every((v) => whole(v * 10 ** d));
  const digits = [0, 1, 2, 3, 4, 5].find(enough) ?? 6;
  const large = (v) => Math.round(v).toLocaleString("en").replace("-", MINUS);
  return values.map((v) => (Math.abs(v) >= 9999.5 ? large(v) : number(v, digits)));
}

/** A linear map of a range onto pixels, with its inverse. */
function scale([v0, v1], [p0, p1]) {
  const map = (v) => Math.round((p0 + ((p1 - p0) * (v - v0)) / (v1 - v0)) * 10) / 10;
  map.inverse = (p) => v0 + ((v1 - v0) * (p - p0)) / (p1 - p0);
  return map;
}

// ---- Arms ----

function onScreen(a) {
  return state.screen === null || arms[a].cell[screenAxis] === state.screen;
}

function onWhat() {
  return state.screen === null ? "" : ` on ${state.screen}`;
}

/** What an arm is called beside arms of the same screen. */
function methodName(a) {
  const rest = arms[a].cell.filter((_, axis) => axis !== screenAxis);
  return state.screen === null || !rest.length ? arms[a].label : rest.join(" / ");
}

/** What is drawn at first: all arms, or of many the best and the references. */
function bestOf(group) {
  if (group.length <= MANY_ARMS) return group;
  const others = group.filter((a) => !arms[a].is_reference);
  return [...others.slice(0, BEST), ...group.filter((a) => arms[a].is_reference)];
}

const rankColumn = {
  key: "rank", title: "rank", note: `place by ${metrics[0].name}`, numeric: true, value: (a) => arms[a].ranked,
  cell: (a) => arms[a].ranked ?? MISSING,
};

function direction(metric) {
  return metric.larger ? "larger is better" : "smaller is better";
}

const SHAPES = {
  square: [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
  up: [[0, -1.3], [1.15, 0.8], [-1.15, 0.8]],
  diamond: [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]],
  down: [[0, 1.3], [1.15, -0.8], [-1.15, -0.8]],
};

function markerPath(shape, x, y, r) {
  if (!SHAPES[shape]) return `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
  const corner = ([dx, dy]) => `${(x + r * dx).toFixed(1)} ${(y + r * dy).toFixed(1)}`;
  return `M${SHAPES[shape].map(corner).join("L")}z`;
}

/** A sample of an arm's line; the look alone tells arms apart without colour too. */
function sample(look, x, y) {
  const line = path("line", `M${x} ${y}h26`, { "stroke-dasharray": look.dash || null });
  return svg("g", tint(look), line, path("marker", markerPath(look.marker, x + 13, y, 3.2)));
}

function swatch(look) {
  return svg("svg", { class: "swatch", width: 26, height: 10, "aria-hidden": "true" }, sample(look, 0, 5));
}

function named(a, text = arms[a].label) {
  const mark = arms[a].is_reference ? html("span", { class: "mark" }, "reference") : null;
  return html("span", { class: "name" }, swatch(arms[a].look), text, mark);
}

// ---- Tables ----

function compare(a, b) {
  if (!known(a) || !known(b)) return 0;
  return typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);
}

/** The order of items by a column; what has no value comes last whichever way. */
function sorted(items, column, down) {
  const keyed = items.map((item) => [item, column.value(item)]);
  keyed.sort(([, a], [, b]) => known(b) - known(a) || (down ? compare(b, a) : compare(a, b)));
  return keyed.map(([item]) => item);
}

/**
 * A table whose heads sort it. A column has `key`, `title`, `value(item)` to sort by and `cell(item)` to show,
 * and may have `note` and `tip(item)` to show on hover, `numeric`, `kind` (a class), `down` (largest first),
 * `header` (names the row) and `fixed` (not sorted by). `sort` is { key, down }, kept up to date; items stay as
 * given where it names no column.
 */
function sortableTable({ caption, columns, items, sort, rowAttributes = () => ({}), kind = null }) {
  const kindOf = (column) => [column.numeric ? "numeric" : "", column.kind ?? ""].join(" ").trim() || null;
  const cell = (column, item) => {
    const attributes = { class: kindOf(column), title: column.tip?.(item), scope: column.header ? "row" : null };
    return html(column.header ? "th" : "td", attributes, column.cell(item));
  };
  const row = (item) => html("tr", rowAttributes(item), ...columns.map((column) => cell(column, item)));
  const rows = new Map(items.map((item) => [item, row(item)]));
  const heads = new Map();
  const body = html("tbody");
  const arrange = () => {
    const column = columns.find(({ key }) => key === sort.key);
    body.replaceChildren(...(column ? sorted(items, column, sort.down) : items).map((item) => rows.get(item)));
    for (const [key, head] of heads) {
      head.setAttribute("aria-sort", key !== sort.key ? "none" : sort.down ? "descending" : "ascending");
    }
  };
  const head = (column) => {
    const attributes = { scope: "col", title: column.note, class: kindOf(column) };
    if (column.fixed) return html("th", attributes, html("span", { class: "unseen" }, column.title));
    const click = () => {
      sort.down = sort.key === column.key ? !sort.down : Boolean(column.down);
      sort.key = column.key;
      arrange();
    };
    const button = html("button", { type: "button", "data-sort": column.key, click }, column.title);
    heads.set(column.key, html("th", attributes, button));
    return heads.get(column.key);
  };
  const top = html("thead", {}, html("tr", {}, ...columns.map(head)));
  arrange();
  return html("table", { class: kind }, html("caption", { class: "unseen" }, caption), top, body);
}
