"use strict";
(() => {
  const study = JSON.parse(document.getElementById("study").textContent);
  const { arms, metrics, axes } = study;

  /** More arms than this cannot be told apart in one chart: then the best are in colour, the others in grey. */
  const MANY_ARMS = 12;
  const BEST = 8;
  /** More bands than this hide each other; the reader may still ask for them. */
  const MANY_BANDS = 6;
  /** A longer legend lists only what was once drawn in colour. */
  const LONG_LEGEND = 40;
  const MOST_METHODS = 30;
  const MOST_BARS = 40;
  const MARKED_POINTS = 12;
  /** Numbers that need more are written with powers of ten. */
  const MOST_DECIMALS = 6;
  const MINUS = "\u2212";
  const MISSING = "\u2013";
  const ALONG = {
    n_measured: "perturbations measured",
    round: "round (0: initial set)",
    cost: "cost (USD)",
    months: "months after the initial set",
  };
  const APART = "Numbers of different screens are not on one scale: compare within a screen.";
  const PARTS = ["fit", "predict", "select", "measure", "other"];
  /** Okabe and Ito's colours and two of Paul Tol's for kernels, on light and on dark. */
  const KERNEL_COLOURS = [
    ["#0072B2", "#56B4E9"], ["#D55E00", "#F08A4B"], ["#009E73", "#33C49A"], ["#CC79A7", "#E3A0C5"],
    ["#B87F00", "#E6B84A"], ["#332288", "#A597F0"], ["#882255", "#D77BA6"], ["#4A4A4A", "#B8B8B8"],
  ];
  const DASHES = ["", "7 4", "2 3"];
  const MARKERS = ["disc", "square", "up", "diamond", "down"];
  const VIRIDIS = [
    [68, 1, 84], [71, 45, 123], [59, 82, 139], [44, 114, 142], [33, 145, 140], [40, 174, 128], [94, 201, 98],
    [173, 220, 48], [253, 231, 37],
  ];

  const rounds = Math.max(1, ...arms.map((arm) => arm.n_measured.length));
  const byRank = arms.map((_, a) => a).sort((a, b) => (arms[a].ranked ?? Infinity) - (arms[b].ranked ?? Infinity));
  const armOfLabel = new Map(arms.map((arm, a) => [arm.label, a]));
  const screenAxis = study.screens === null ? -1 : axes.indexOf(study.screens);
  const screens = screenAxis < 0 ? [] : distinct(arms.map((arm) => arm.cell[screenAxis]));
  /** The arms of each screen, best first; all where there is one. */
  const ofScreen = (name) => byRank.filter((a) => arms[a].cell[screenAxis] === name);
  const groups = screens.length > 1 ? screens.map(ofScreen) : [byRank];
  const crowded = groups.some((group) => group.length > MANY_ARMS);
  const collator = new Intl.Collator(undefined, { numeric: true });

  const state = {
    metric: 0,
    screen: screens.length > 1 ? screens[0] : null,
    along: "n_measured",
    bands: true,
    others: true,
    /** Arms drawn in colour, and those that the legend names. */
    shown: new Set(),
    listed: new Set(),
    /** Ranges of x and y in view; null shows all. */
    zoom: null,
    /** The point read off: { arm, round }. */
    near: null,
    heatAxes: [0, 1],
    heatKind: "final",
    armsSort: { key: "rank", down: false },
    settingsSort: { key: "rank", down: false },
    filter: "",
  };

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

  // ---- Overview ----

  function drawOverview() {
    find("[data-name]").textContent = study.name;
    find("[data-question]").textContent = study.question;
    find("[data-question]").hidden = !study.question;
    find("[data-warnings]").hidden = !study.warnings.length;
    find("[data-warnings] ul").append(...study.warnings.map((warning) => html("li", {}, warning)));
    const [fewest, most] = extent(arms.map((arm) => arm.seeds.length));
    const count = (value, one, more) =>
      html("div", {}, html("dt", {}, value === 1 ? one : more), html("dd", {}, value));
    find("[data-counts]").append(
      count(arms.length, "arm", "arms"),
      count(fewest === most ? most : `${fewest} to ${most}`, "seed an arm", "seeds an arm"),
      count(rounds - 1, "round after the initial set", "rounds after the initial set"),
      count(metrics.length, "metric", "metrics"),
      screens.length > 1 ? count(screens.length, "screen", "screens") : "");
  }

  // ---- Headline table ----

  /** A dot with its interval beside a line at zero, all rows on one scale. */
  function whisker(look, paired, X) {
    const node = svg("svg", { width: 96, height: 14, "aria-hidden": "true" }, path("zero", `M${X(0)} 0V14`));
    if (!paired) return node;
    const line = known(paired.lo) ? path("whisker", `M${X(paired.lo)} 7H${X(paired.hi)}`) : null;
    node.append(svg("g", tint(look), line, path("marker", markerPath(look.marker, X(paired.mean), 7, 2.8))));
    return node;
  }

  function armColumns() {
    const of = (a) => study.summary[state.metric][a];
    const all = study.summary[state.metric];
    const { larger } = metrics[state.metric];
    const axisColumn = (axis, i) => ({
      key: `axis-${i}`, title: axis, kind: "name", header: i === 0, value: (a) => arms[a].cell[i],
      cell: (a) => (i === 0 ? named(a, arms[a].cell[0]) : arms[a].cell[i]),
    });
    const label = { key: "label", title: "arm", header: true, value: (a) => arms[a].label, cell: (a) => named(a) };
    const mean = (key, title) => {
      const digits = decimals(all.map((s) => s[key]), all.map((s) => s[`${key}_half`]));
      const cell = (a) => plusMinus(of(a)[key], of(a)[`${key}_half`], digits);
      return { key, title, note: "± half width", numeric: true, down: larger, value: (a) => of(a)[key], cell };
    };
    return [
      { key: "pick", title: "drawn in the learning curves", fixed: true, kind: "pick", cell: pickBox },
      rankColumn,
      ...(axes.length ? axes.map(axisColumn) : [label]),
      { key: "n", title: "n", note: "seeds", numeric: true, down: true, value: (a) => of(a).n, cell: (a) => of(a).n },
      mean("final", "final"),
      mean("aulc", "AULC"),
      ...(all.some((s) => s.difference) ? differenceColumns(all, larger) : []),
    ];
  }

  /** What is said of the difference of each arm to its reference; all but the essential is in the details. */
  function differenceColumns(all, larger) {
    const paired = (kind) => (a) => all[a].difference?.[kind] ?? null;
    const [aulc, final] = [paired("aulc"), paired("final")];
    const every = arms.map((_, a) => aulc(a)).filter(known);
    const digits = decimals(every.map((p) => p.mean), every.map((p) => (known(p.lo) ? (p.hi - p.lo) / 2 : null)));
    const X = scale(widen(extent([0, ...every.flatMap((p) => [p.mean, p.lo, p.hi])]), 0.03), [0, 96]);
    const limits = (p) => interval(p?.lo, p?.hi, digits);
    const bootstrap = (p) => interval(p?.boot_lo, p?.boot_hi, digits);
    const column = (of, key, title, note, value, show, more = {}) => ({
      key, title, note, numeric: true, value: (a) => value(of(a)), cell: (a) => show(of(a)), ...more,
    });
    const mean = (of, key, title, note, more) =>
      column(of, key, title, note, (p) => p?.mean, (p) => number(p?.mean, digits), { down: larger, ...more });
    const interval95 = (of, key, more) =>
      column(of, key, "95 % interval", "t interval", (p) => p?.lo, limits, { down: larger, ...more });
    const chance = (of, key, title, note, which, kind = null) => {
      const more = { kind, tip: (a) => exact(of(a)?.[which]) };
      return column(of, key, title, note, (p) => p?.[which], (p) => pValue(p?.[which]), more);
    };
    const count = (key, title, note, which, kind = null) =>
      column(aulc, key, title, note, (p) => p?.[which], (p) => p?.[which] ?? MISSING, { kind });
    const references = distinct(all.map((s) => s.difference?.reference).filter(known));
    const over = references.length === 1 ? arms[references[0]].label : "the reference";
    const referenceOf = (a) => arms[all[a].difference?.reference]?.label ?? null;
    const tip = (a) => (aulc(a) ? `bootstrap interval ${bootstrap(aulc(a))}, n = ${aulc(a).n}` : null);
    const detail = { kind: "detail" };
    return [
      mean(aulc, "difference", "Δ AULC", `AULC less that of ${over}, over pairs of a seed`, { tip }),
      interval95(aulc, "interval", { tip }),
      {
        key: "bar", title: "the difference as a picture", note: "difference and t interval; the line is zero",
        fixed: true, tip, cell: (a) => whisker(arms[a].look, aulc(a), X),
      },
      chance(aulc, "p", "p", "paired t test", "p"),
      chance(aulc, "holm", "p Holm", "corrected for the number of arms", "p_holm"),
      count("needed", "seeds needed", "seeds that would show a difference as large", "seeds_needed"),
      {
        key: "reference", title: "reference", kind: "detail name", value: referenceOf,
        cell: (a) => referenceOf(a) ?? MISSING,
      },
      count("pairs", "pairs", "seeds that both arms have", "n", "detail"),
      column(aulc, "bootstrap", "bootstrap", "95 % interval of the difference", (p) => p?.boot_lo, bootstrap, detail),
      chance(aulc, "wilcoxon", "p Wilcoxon", "signed rank test", "p_wilcoxon", "detail"),
      mean(final, "final-difference", "Δ final", `final value less that of ${over}`, detail),
      interval95(final, "final-interval", detail),
      chance(final, "final-holm", "p Holm", "of the difference of the final value", "p_holm", "detail"),
    ];
  }

  function pickBox(a) {
    const attributes = { type: "checkbox", checked: state.shown.has(a), "data-pick": a, change: () => toggle(a) };
    return html("input", { ...attributes, "aria-label": `draw ${arms[a].label}` });
  }

  function drawArms() {
    const metric = metrics[state.metric];
    find("#arms [data-caption]").textContent =
      `${metric.name}: ${direction(metric)}. Final is the mean after the last round, AULC the mean over the whole ` +
      `curve, each ± half width of its 95 % t interval over n seeds; Δ is over the reference. Ranks are by ` +
      `${metrics[0].name}. Ticked arms are in colour in the learning curves.${screens.length > 1 ? ` ${APART}` : ""}`;
    find("#arms [data-host]").replaceChildren(sortableTable({
      caption: `Arms by ${metric.name}`, columns: armColumns(), items: byRank, sort: state.armsSort,
      kind: find("[data-details]").checked ? "detailed" : null,
      rowAttributes: (a) => ({ "data-arm": a, "data-words": arms[a].label.toLowerCase() }),
    }));
    filterArms();
  }

  function filterArms() {
    const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = findAll("#arms tbody tr");
    rows.forEach((row) => { row.hidden = !words.every((word) => row.dataset.words.includes(word)); });
    const left = rows.filter((row) => !row.hidden).length;
    find("#arms [data-count]").textContent = words.length ? `${left} of ${rows.length} arms` : "";
    find("[data-select-filtered]").hidden = !words.length || !left;
  }

  function prepareArms() {
    find("[data-filter]").addEventListener("input", (event) => {
      state.filter = event.target.value;
      filterArms();
    });
    const details = find("[data-details]");
    details.addEventListener("change", () => find("#arms table").classList.toggle("detailed", details.checked));
    details.closest("label").hidden = !study.summary.some((of) => of.some((s) => s.difference));
    const filtered = () => findAll("#arms tbody tr:not([hidden])").map((row) => Number(row.dataset.arm));
    find("[data-select-filtered]").addEventListener("click", () => show(filtered()));
  }

  // ---- Line charts ----

  let frames = 0;

  /** Empty axes: a picture with a clipped `plot` to draw in, its `box` and the scales `X` and `Y`. */
  function frame({ width, height, x, y, whole, xTitle, yTitle, title, over = [] }) {
    const yTicks = ticks(y, Math.max(2, Math.round(height / 60)));
    const yLabels = tickLabels(yTicks);
    const left = Math.ceil(Math.max(20, ...yLabels.map((label) => textWidth(label, 11)))) + 12;
    const box = { left, right: width - 12, top: 20, bottom: height - 44 };
    const X = scale(x, [box.left, box.right]);
    const Y = scale(y, [box.bottom, box.top]);
    frames += 1;
    const area = { x: left, y: box.top, width: box.right - left, height: box.bottom - box.top };
    const plot = svg("g", { "clip-path": `url(#clip-${frames})` });
    const node = picture(width, height, title,
      svg("clipPath", { id: `clip-${frames}` }, svg("rect", area)),
      ...yTicks.map((v) => path("gridline", `M${left} ${Y(v)}H${box.right}`)),
      ...yTicks.map((v, i) => words(yLabels[i], left - 7, Y(v) + 4, "end", "tick")),
      ...xMarks(X, ticks(x, Math.max(2, Math.round(area.width / 75)), whole), box.bottom),
      plot,
      path("axis", `M${left} ${box.top}V${box.bottom}H${box.right}`),
      words(xTitle, (left + box.right) / 2, height - 8, "middle"),
      words(yTitle, 2, 12),
      ...over);
    return { node, plot, box, X, Y };
  }

  function xMarks(X, values, y) {
    const labels = tickLabels(values);
    const mark = (v, i) => [path("axis", `M${X(v)} ${y}v4`), words(labels[i], X(v), y + 17, "middle", "tick")];
    return values.flatMap(mark);
  }

  /** Stretches of neighbouring points that have all of the values named. */
  function stretches(points, ...names) {
    const out = [[]];
    for (const point of points) {
      if (names.every((name) => known(point[name]))) out.at(-1).push(point);
      else if (out.at(-1).length) out.push([]);
    }
    return out.filter((stretch) => stretch.length);
  }

  function linePath(points, X, Y) {
    return stretches(points, "x", "y").map((part) => `M${part.map((p) => `${X(p.x)} ${Y(p.y)}`).join("L")}`).join("");
  }

  function drawCurve({ plot, X, Y }, look, points, { bands, aside = 0, attributes = {} }) {
    const x = (p) => X(p.x) + aside;
    const band = (part) => {
      if (part.length === 1) return path("whisker", `M${x(part[0])} ${Y(part[0].lo)}V${Y(part[0].hi)}`);
      const [above, below] = [part.map((p) => `${x(p)} ${Y(p.hi)}`), part.map((p) => `${x(p)} ${Y(p.lo)}`)];
      return path("band", `M${[...above, ...below.reverse()].join("L")}z`);
    };
    const present = points.filter((p) => known(p.x) && known(p.y));
    const every = Math.ceil(present.length / MARKED_POINTS);
    const marked = present.filter((_, i) => (present.length - 1 - i) % every === 0);
    const group = svg("g", tint(look),
      ...(bands ? stretches(points, "x", "lo", "hi").map(band) : []),
      path("line", linePath(points, (v) => X(v) + aside, Y), { "stroke-dasharray": look.dash || null, ...attributes }),
      path("marker", marked.map((p) => markerPath(look.marker, x(p), Y(p.y), 3.1)).join("")));
    plot.append(group);
    return group;
  }

  // ---- Learning curves ----

  /** What is shown: the frame, the arms `drawn`, the `places` that can be read off, and the marks over them. */
  let chart = null;

  function curvePoints(a) {
    const curve = study.curves[state.metric][a];
    const xs = state.along === "round" ? null : arms[a][state.along];
    return curve.mean.map((y, round) => ({
      arm: a, round, x: xs ? xs[round] : round, y, lo: curve.lo?.[round], hi: curve.hi?.[round], n: curve.n?.[round],
    }));
  }

  function drawCurves() {
    const host = find("#curves [data-host]");
    const metric = metrics[state.metric];
    const visible = byRank.filter(onScreen);
    const shown = visible.filter((a) => state.shown.has(a));
    const others = state.others && crowded ? visible.filter((a) => !state.shown.has(a)) : [];
    const curves = new Map([...shown, ...others].map((a) => [a, curvePoints(a)]));
    const all = [...curves.values()].flat().filter((p) => known(p.x) && known(p.y));
    const bounds = extent(all.flatMap((p) => (state.bands && state.shown.has(p.arm) ? [p.y, p.lo, p.hi] : [p.y])));
    find("[data-reset]").disabled = !state.zoom;
    chart = null;
    if (!bounds) {
      const why = shown.length ? `no arm drawn has a value of ${metric.name}.` : "choose some arms in the legend.";
      return host.replaceChildren(html("p", { class: "none" }, `Nothing to draw: ${why}`));
    }
    const x = extent(all.map((p) => p.x));
    const single = x[0] === x[1];
    // A noise ceiling far off would flatten the curves.
    const reach = widen(bounds, 0.6);
    const ceilings = distinct(metric.ceiling ?? []).filter((y) => known(y) && y > reach[0] && y < reach[1]);
    const width = Math.max(280, host.clientWidth);
    const zoomBox = svg("rect", { class: "box", visibility: "hidden" });
    const over = svg("g");
    const f = frame({
      width, height: clamp(width * 0.62, 300, 520), over: [over, zoomBox],
      x: state.zoom?.x ?? (single ? [x[0] - 1, x[0] + 1] : widen(x, 0.02)),
      y: state.zoom?.y ?? widen(extent([...bounds, ...ceilings]), 0.05),
      whole: state.along === "round" || state.along === "n_measured",
      xTitle: ALONG[state.along], yTitle: `${metric.name}${onWhat()} (${direction(metric)})`,
      title: `${metric.name}${onWhat()} along ${ALONG[state.along]}, ${shown.length} arms`,
    });
    const opacity = clamp(30 / others.length, 0.25, 0.8);
    f.plot.append(svg("g", { class: "others", "stroke-opacity": opacity },
      ...others.map((a) => svg("path", { d: linePath(curves.get(a), f.X, f.Y) }))));
    drawCeilings(f, ceilings);
    // The points of a single round would hide each other; they stand side by side.
    const step = single ? Math.min(40, (0.8 * (f.box.right - f.box.left)) / Math.max(1, shown.length)) : 0;
    const aside = new Map(shown.map((a, slot) => [a, (slot - (shown.length - 1) / 2) * step]));
    // References lie below, the best arm on top.
    const order = [...shown].reverse().sort((a, b) => arms[b].is_reference - arms[a].is_reference);
    const drawn = new Map(order.map((a) => {
      const how = { bands: state.bands, aside: aside.get(a), attributes: { "data-arm": a } };
      return [a, drawCurve(f, arms[a].look, curves.get(a), how)];
    }));
    const places = all.map((p) => ({ ...p, px: f.X(p.x) + (aside.get(p.arm) ?? 0), py: f.Y(p.y) }));
    const tip = html("div", { class: "tip", hidden: true });
    chart = { ...f, width, drawn, over, zoomBox, tip, places: places.filter((p) => inside(f.box, p.px, p.py)) };
    host.replaceChildren(f.node, tip);
    drawNear();
  }

  function inside(box, x, y) {
    return x >= box.left - 1 && x <= box.right + 1 && y >= box.top - 1 && y <= box.bottom + 1;
  }

  /** The two ends of the range of arms' noise ceilings, or one line where they agree. */
  function drawCeilings({ plot, Y, box }, values) {
    plot.append(...values.map((y) => path("ceiling", `M${box.left} ${Y(y)}H${box.right}`)));
    const top = Math.min(...values.map(Y));
    if (top < box.top || top > box.bottom) return;
    plot.append(words("noise ceiling", box.right - 4, Math.max(box.top + 10, top - 5), "end", "tick"));
  }

  /** The point read off, if it is in view. */
  function nearPoint() {
    return chart?.places.find((p) => p.arm === state.near?.arm && p.round === state.near?.round) ?? null;
  }

  /** Marks the point read off, says what it is, and lifts its curve. */
  function drawNear() {
    if (!chart) return;
    const { box, tip, over, drawn, width } = chart;
    const point = nearPoint();
    for (const [a, group] of drawn) group.classList.toggle("near", state.near?.arm === a);
    over.replaceChildren();
    tip.hidden = !point;
    if (!point) return;
    const { look } = arms[point.arm];
    const ring = svg("circle", { class: "ring", cx: point.px, cy: point.py, r: 6 });
    const cross = path("cross", `M${point.px} ${box.top}V${box.bottom}M${box.left} ${point.py}H${box.right}`);
    over.append(cross, svg("g", tint(look), ring));
    const lines = pointLines(point).map((line) => html("div", {}, line));
    tip.replaceChildren(html("b", {}, swatch(look), methodName(point.arm)), ...lines);
    const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
    const beside = point.px + 14 + wide > width ? point.px - 14 - wide : point.px + 14;
    const [x, y] = [clamp(beside, 0, Math.max(0, width - wide)), clamp(point.py - high - 12, 0, box.bottom)];
    tip.style.transform = `translate(${x}px, ${y}px)`;
  }

  function pointLines(point) {
    const digits = decimals([point.y], known(point.lo) ? [(point.hi - point.lo) / 2] : []);
    const [x] = tickLabels([Math.round(point.x * 100) / 100]);
    const place = `${ALONG[state.along].replace("perturbations ", "")}: ${x}`;
    const range = known(point.lo) && known(point.hi) ? ` (${interval(point.lo, point.hi, digits)})` : "";
    return [
      `round ${point.round}${state.along === "round" ? "" : `, ${place}`}`,
      `${metrics[state.metric].name} ${number(point.y, digits)}${range}${known(point.n) ? `, n = ${point.n}` : ""}`,
    ];
  }

  function readOff(point) {
    state.near = point ? { arm: point.arm, round: point.round } : null;
    drawNear();
  }

  function nearest(x, y) {
    // A coloured curve is easier to hit than a grey one.
    const distance = (p) => Math.hypot(p.px - x, p.py - y) + (state.shown.has(p.arm) ? 0 : 12);
    let best = null;
    let least = 60;
    for (const p of chart.places) {
      const far = distance(p);
      if (far < least) [best, least] = [p, far];
    }
    return best;
  }

  function setZoom(zoom) {
    state.zoom = zoom;
    drawCurves();
  }

  function preparePointer() {
    const host = find("#curves [data-host]");
    let start = null;
    const at = (event) => {
      const { left, top } = host.getBoundingClientRect();
      return { x: event.clientX - left, y: event.clientY - top };
    };
    const dragged = (to) => {
      const { box } = chart;
      const [x0, x1] = [start.x, to.x].map((x) => clamp(x, box.left, box.right)).sort((a, b) => a - b);
      const [y0, y1] = [start.y, to.y].map((y) => clamp(y, box.top, box.bottom)).sort((a, b) => a - b);
      return { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
    };
    host.addEventListener("pointerdown", (event) => {
      if (!chart || event.button !== 0 || event.pointerType === "touch") return;
      start = at(event);
      host.setPointerCapture(event.pointerId);
    });
    host.addEventListener("pointermove", (event) => {
      if (!chart) return;
      if (start) dress(chart.zoomBox, { ...dragged(at(event)), visibility: "visible" }, []);
      else readOff(nearest(at(event).x, at(event).y));
    });
    host.addEventListener("pointerup", (event) => {
      if (!chart || !start) return;
      const { x, y, width, height } = dragged(at(event));
      const { X, Y } = chart;
      start = null;
      chart.zoomBox.setAttribute("visibility", "hidden");
      if (width > 6 && height > 6) {
        setZoom({ x: [X.inverse(x), X.inverse(x + width)], y: [Y.inverse(y + height), Y.inverse(y)] });
      } else if (state.near && !state.shown.has(state.near.arm)) toggle(state.near.arm);
    });
    host.addEventListener("pointercancel", () => { start = null; });
    host.addEventListener("pointerleave", () => { if (!start) readOff(null); });
  }

  /** The next point along the curve of a point, or on the next curve at the same round. */
  function stepFrom(point, key) {
    const shown = chart.places.filter((p) => state.shown.has(p.arm));
    const across = key === "ArrowUp" || key === "ArrowDown";
    const row = across
      ? shown.filter((p) => p.round === point.round).sort((p, q) => p.py - q.py)
      : shown.filter((p) => p.arm === point.arm);
    const place = row.findIndex((p) => p.arm === point.arm && p.round === point.round);
    return row[clamp(place + (key === "ArrowUp" || key === "ArrowLeft" ? -1 : 1), 0, row.length - 1)];
  }

  /** Arrow keys on the plot or on an arm of the legend. */
  function prepareKeys() {
    find("#curves").addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        state.near = null;
        return setZoom(null);
      }
      const button = event.target.closest(".legend [data-arm]");
      if (!chart || !event.key.startsWith("Arrow") || !(button || event.target.closest(".plot"))) return;
      event.preventDefault();
      const from = nearPoint();
      const asked = (p) => !button || p.arm === Number(button.dataset.arm);
      const first = chart.places.find((p) => state.shown.has(p.arm) && asked(p));
      const point = from && state.shown.has(from.arm) ? stepFrom(from, event.key) : first;
      if (!point) return;
      readOff(point);
      find("[data-spoken]").textContent = [methodName(point.arm), ...pointLines(point)].join(", ");
    });
  }

  /** Draws these arms in colour; the legend, the ticks of the table and the settings follow. */
  function show(list) {
    state.shown = new Set(list);
    list.forEach((a) => state.listed.add(a));
    findAll("[data-pick]").forEach((box) => { box.checked = state.shown.has(Number(box.dataset.pick)); });
    drawLegend();
    drawCurves();
    drawSettings();
  }

  function toggle(a) {
    show(state.shown.has(a) ? [...state.shown].filter((b) => b !== a) : [...state.shown, a]);
  }

  /** Draws these arms of the screen in view; those of other screens stay. */
  function showHere(list) {
    show([...[...state.shown].filter((a) => !onScreen(a)), ...list]);
  }

  function drawLegend() {
    const legend = find("#curves .legend");
    const listed = byRank.filter((a) => onScreen(a) && state.listed.has(a));
    const entry = (a) => {
      const remark = arms[a].is_reference ? "reference" : arms[a].seeds.length ? null : "no runs";
      const name = html("span", {}, methodName(a), remark && html("span", { class: "mark" }, remark));
      return html("li", {}, html("button", { type: "button", "data-arm": a }, swatch(arms[a].look), name));
    };
    // Buttons stay the same nodes where they can, so that focus and double clicks survive.
    if (legend.dataset.listed !== listed.join()) legend.replaceChildren(...listed.map(entry));
    legend.dataset.listed = listed.join();
    findAll("#curves .legend button").forEach((button) => {
      button.setAttribute("aria-pressed", state.shown.has(Number(button.dataset.arm)));
    });
  }

  function prepareLegend() {
    const legend = find("#curves .legend");
    const armAt = (event) => Number(event.target.closest("[data-arm]")?.dataset.arm ?? -1);
    const lift = (event) => {
      const a = armAt(event);
      readOff(chart?.places.findLast((p) => p.arm === a && state.shown.has(a)));
    };
    legend.addEventListener("click", (event) => {
      const a = armAt(event);
      if (a < 0) return;
      if (event.shiftKey) showHere([a]);
      else toggle(a);
    });
    // Its two clicks have undone each other.
    legend.addEventListener("dblclick", (event) => { if (armAt(event) >= 0) showHere([armAt(event)]); });
    legend.addEventListener("pointerover", lift);
    legend.addEventListener("pointerleave", () => readOff(null));
    legend.addEventListener("focusin", lift);
    const best = () => byRank.filter((a) => onScreen(a) && !arms[a].is_reference).slice(0, BEST);
    const sets = { all: () => byRank.filter(onScreen), none: () => [], best };
    findAll("[data-show]").forEach((button) => {
      button.addEventListener("click", () => showHere(sets[button.dataset.show]()));
    });
  }

  function prepareCurves() {
    const first = groups.map(bestOf);
    state.shown = new Set(first.flat());
    state.listed = new Set(arms.length > LONG_LEGEND ? state.shown : byRank);
    state.bands = Math.max(...first.map((group) => group.length)) <= MANY_BANDS;
    const colours =
      `At first the best ${BEST} by ${metrics[0].name} and the references are in colour; click a grey line to add it.`;
    const texts = [crowded ? colours : "", screens.length > 1 ? APART : ""];
    find("#curves [data-caption]").textContent = ["Means over seeds; bands are 95 % t intervals.", ...texts].join(" ");
    const along = Object.entries(ALONG).filter(([key]) => study.has_cost || !["cost", "months"].includes(key));
    options(find("[data-along]"), along, state.along);
    find("[data-along]").addEventListener("change", (event) => {
      state.along = event.target.value;
      setZoom(null);
    });
    find("[data-many]").hidden = !crowded;
    for (const name of ["bands", "others"]) {
      const box = find(`[data-${name}]`);
      box.checked = state[name];
      box.addEventListener("change", () => {
        state[name] = box.checked;
        drawCurves();
      });
    }
    find("[data-reset]").addEventListener("click", () => setZoom(null));
    find("#curves [data-save]").addEventListener("click", () => {
      const shown = byRank.filter((a) => onScreen(a) && state.shown.has(a));
      readOff(null);
      if (chart) saveFigure(chart.node, `curves_${metrics[state.metric].name}`, shown);
    });
    prepareLegend();
    preparePointer();
    prepareKeys();
  }

  // ---- Saving ----

  const PAINT = [
    "fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-dasharray", "stroke-linecap",
    "stroke-linejoin", "font-family", "font-size", "font-weight", "text-anchor", "visibility",
  ];

  /** Downloads a figure as it looks, by itself: colours computed, the study named above and arms below. */
  function saveFigure(figure, name, list) {
    const { width, height } = figure.viewBox.baseVal;
    const column = Math.min(width - 16, 52 + Math.max(0, ...list.map((a) => textWidth(methodName(a)))));
    const columns = Math.max(1, Math.floor((width - 16) / column));
    const entry = (a, i) => {
      const [x, y] = [8 + (i % columns) * column, height + 16 + 18 * Math.floor(i / columns)];
      return svg("g", {}, sample(arms[a].look, x, y - 4), words(methodName(a), x + 32, y));
    };
    const total = height + 18 * Math.ceil(list.length / columns) + 38;
    const back = svg("rect", { class: "back", x: 0, y: -30, width, height: total });
    const heading = words(study.name, 8, -10, "start", "heading");
    const extra = svg("g", {}, back, heading, ...list.map(entry));
    // In the page for as long as its style is read.
    figure.prepend(extra);
    const copy = figure.cloneNode(true);
    const drawn = figure.querySelectorAll("*");
    copy.querySelectorAll("*").forEach((node, i) => {
      const style = getComputedStyle(drawn[i]);
      ["style", "class"].forEach((attribute) => node.removeAttribute(attribute));
      PAINT.forEach((property) => node.setAttribute(property, style.getPropertyValue(property)));
    });
    extra.remove();
    dress(copy, { xmlns: "http://www.w3.org/2000/svg", width, height: total, viewBox: `0 -30 ${width} ${total}` }, []);
    const url = URL.createObjectURL(new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" }));
    html("a", { href: url, download: `${study.name}_${name}.svg` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  // ---- Ablation ----

  /** The axes to compare along; screens are chosen, not compared. */
  const compared = axes.map((_, i) => i).filter((i) => i !== screenAxis || screens.length < 2);

  function heatColour(share) {
    const place = clamp(share, 0, 1) * (VIRIDIS.length - 1);
    const i = Math.min(VIRIDIS.length - 2, Math.floor(place));
    return VIRIDIS[i].map((c, k) => Math.round(c + (VIRIDIS[i + 1][k] - c) * (place - i)));
  }

  /** Black or white, whichever stands out more. */
  function inkOn(rgb) {
    const [r, g, b] = rgb.map((c) => (c <= 10 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
  }

  function drawHeat() {
    const host = find("#heat [data-host]");
    if (!host) return;
    const metric = metrics[state.metric];
    const key = state.heatKind;
    const of = (a) => study.summary[state.metric][a];
    const items = arms.map((_, a) => a).filter((a) => onScreen(a) && known(of(a)[key]))
      .map((a) => ({ a, mean: of(a)[key], half: of(a)[`${key}_half`] }));
    const nothing = html("p", { class: "none" }, `No arm has a value of ${metric.name}.`);
    if (!items.length) return host.replaceChildren(nothing);
    const what = `${key === "final" ? "final" : "AULC of"} ${metric.name}${onWhat()}`;
    const digits = decimals(items.map((item) => item.mean), items.map((item) => item.half));
    const averaged = compared.filter((i) => !state.heatAxes.includes(i)).map((i) => axes[i]);
    const over = averaged.length ? `, mean over ${averaged.join(", ")}` : "";
    const about = `${what[0].toUpperCase()}${what.slice(1)} (${direction(metric)})`;
    const [draw, how] = compared.length < 2
      ? [dotPlot, " with 95 % t intervals"] : [heatMap, `${over}; the best cell is framed`];
    find("#heat [data-caption]").textContent = `${about}${how}.`;
    host.replaceChildren(draw(items, what, digits, host.clientWidth));
  }

  function heatMap(items, what, digits, room) {
    const [rows, columns] = state.heatAxes;
    const [rowNames, columnNames] = [rows, columns].map((axis) => distinct(items.map(({ a }) => arms[a].cell[axis])));
    const cellOf = (row, column) => JSON.stringify([row, column]);
    const cells = new Map();
    for (const item of items) {
      const cell = cellOf(arms[item.a].cell[rows], arms[item.a].cell[columns]);
      cells.set(cell, [...(cells.get(cell) ?? []), item]);
    }
    const mean = (list) => list.reduce((sum, item) => sum + item.mean, 0) / list.length;
    const [lo, hi] = extent([...cells.values()].map(mean));
    const best = metrics[state.metric].larger ? hi : lo;
    const widest = (names) => Math.max(...names.map((name) => textWidth(name)));
    const left = Math.ceil(clamp(Math.max(widest(rowNames), textWidth(axes[rows], 13)), 40, 200)) + 12;
    const numberWidth = Math.max(...[lo, hi].map((v) => textWidth(number(v, digits), 11))) + 10;
    const level = widest(columnNames) <= clamp((room - left) / columnNames.length, numberWidth, 96) - 6;
    const slant = level ? 0 : Math.min(110, widest(columnNames) * 0.71);
    const wide = clamp((room - left - Math.max(4, slant - 20)) / columnNames.length, numberWidth, 96);
    const [high, top] = [24, level ? 46 : 40 + slant];
    const bottom = top + high * rowNames.length;
    const width = Math.max(left + wide * columnNames.length + Math.max(4, slant - 20), left + 340);
    const node = picture(width, bottom + 46, `${what} by ${axes[rows]} and ${axes[columns]}`,
      words(axes[columns], left, 14, "start", "heading"), words(axes[rows], left - 8, top - 8, "end", "heading"));
    columnNames.forEach((name, j) => {
      const x = left + wide * (j + 0.5);
      const label = level ? words(name, x, top - 8, "middle") : words(fit(name, 150), 0, 0);
      if (!level) label.setAttribute("transform", `translate(${x + 2} ${top - 7}) rotate(-45)`);
      node.append(label);
    });
    const cell = (row, column, x, y) => {
      const list = cells.get(cellOf(row, column));
      const box = { x: x + 0.5, y: y + 0.5, width: wide - 1, height: high - 1 };
      const middle = x + wide / 2;
      if (!list) return [svg("rect", { class: "missing", ...box }), words(MISSING, middle, y + 16, "middle", "tick")];
      const value = mean(list);
      const rgb = heatColour(hi > lo ? (value - lo) / (hi - lo) : 0.5);
      const from = list.length > 1 ? `, mean of ${list.length} arms` : "";
      const exactly = plusMinus(value, list.length > 1 ? null : list[0].half, digits) + from;
      const text = words(number(value, digits), middle, y + 16, "middle");
      text.setAttribute("style", `fill:${inkOn(rgb)};font-size:11px`);
      const inner = { x: x + 2, y: y + 2, width: wide - 4, height: high - 4, style: `stroke:${inkOn(rgb)}` };
      const frame = value === best ? svg("rect", { class: "best", ...inner }) : null;
      const rect = svg("rect", { ...box, style: `fill:rgb(${rgb})` });
      return [svg("g", {}, svg("title", {}, `${row}, ${column}: ${exactly}`), rect, text, frame)];
    };
    rowNames.forEach((row, i) => {
      const y = top + high * i;
      node.append(words(fit(row, 200), left - 8, y + 16, "end"));
      columnNames.forEach((column, j) => node.append(...cell(row, column, left + wide * j, y)));
    });
    node.append(colourBar(left, bottom + 14, number(lo, digits), number(hi, digits), what));
    return node;
  }

  function colourBar(x, y, lo, hi, what) {
    const step = (_, i) =>
      svg("rect", { x: x + 3 * i, y, width: 3.5, height: 10, style: `fill:rgb(${heatColour(i / 47)})` });
    const ends = [words(lo, x, y + 24, "start", "tick"), words(hi, x + 144, y + 24, "end", "tick")];
    return svg("g", {}, ...Array.from({ length: 48 }, step), ...ends, words(what, x + 156, y + 9));
  }

  function dotPlot(items, what, digits, room) {
    const [axis] = compared;
    const [width, bottom] = [clamp(room, 300, 820), 24 * items.length + 14];
    const names = items.map(({ a }) => arms[a].cell[axis]);
    const values = items.map(({ mean, half }) => plusMinus(mean, half, digits));
    const longest = Math.max(...names.map((name) => textWidth(name)));
    const left = Math.ceil(clamp(longest, 40, Math.min(220, width * 0.35))) + 12;
    const right = width - Math.ceil(Math.max(...values.map((text) => textWidth(text)))) - 16;
    const range = widen(extent(items.flatMap(({ mean, half }) => [mean - half, mean + half])), 0.06);
    const X = scale(range, [left, right]);
    const marks = ticks(range, Math.max(2, Math.round((right - left) / 80)));
    const row = ({ a, mean, half }, i) => {
      const { look } = arms[a];
      const y = 24 * i + 20;
      const line = half === null ? null : path("whisker", `M${X(mean - half)} ${y}H${X(mean + half)}`);
      const dot = svg("g", tint(look), line, path("marker", markerPath(look.marker, X(mean), y, 4)));
      return [words(fit(names[i], left - 12), left - 10, y + 4, "end"), dot, words(values[i], width, y + 4, "end")];
    };
    return picture(width, bottom + 40, `${what} by ${axes[axis]}`,
      ...marks.map((v) => path("gridline", `M${X(v)} 6V${bottom}`)),
      ...xMarks(X, marks, bottom),
      path("axis", `M${left} ${bottom}H${right}`),
      words(what, (left + right) / 2, bottom + 34, "middle"),
      ...items.flatMap(row));
  }

  function prepareHeat() {
    if (!compared.length) return find("#heat").remove();
    // A long figure is easier to read than a wide one.
    const size = (i) => distinct(arms.map((arm) => arm.cell[i])).length;
    const [first, second] = compared;
    state.heatAxes = compared.length > 1 && size(second) > size(first) ? [second, first] : [first, second];
    if (compared.length < 2) findAll("#heat [data-two]").forEach((label) => label.remove());
    const selects = findAll("#heat [data-axis]");
    const refill = () => selects.forEach((select, side) => {
      options(select, compared.map((i) => [String(i), axes[i]]), String(state.heatAxes[side]));
    });
    selects.forEach((select, side) => select.addEventListener("change", () => {
      const axis = Number(select.value);
      // The axis of the other side changes places with it.
      if (state.heatAxes[1 - side] === axis) state.heatAxes[1 - side] = state.heatAxes[side];
      state.heatAxes[side] = axis;
      refill();
      drawHeat();
    }));
    refill();
    find("#heat [data-kind]").addEventListener("change", (event) => {
      state.heatKind = event.target.value;
      drawHeat();
    });
    find("#heat [data-save]").addEventListener("click", () => {
      const figure = find("#heat [data-host] svg");
      if (figure) saveFigure(figure, `heat_${metrics[state.metric].name}`, []);
    });
  }

  // ---- Critical differences ----

  /** Bars over the methods drawn, as [first, last, level]: those that overlap lie on different levels. */
  function cliqueBars(cliques, last) {
    const cut = cliques.map((members) => [Math.min(...members), Math.min(Math.max(...members), last)]);
    const within = ([a, b], [c, d]) => c <= a && b <= d && (c < a || b < d);
    const bars = cut.filter((bar) => bar[1] > bar[0] && !cut.some((other) => within(bar, other)));
    const ends = [];
    return bars.map(([from, to]) => {
      const free = ends.findIndex((end) => end < from);
      const level = free < 0 ? ends.length : free;
      ends[level] = to;
      return [from, to, level];
    });
  }

  /** Demsar's diagram: methods on an axis of mean ranks, bars over those that do not differ. */
  function rankDiagram(ranks, width) {
    const methods = ranks.methods.slice(0, MOST_METHODS);
    const nameWidth = Math.ceil(clamp(Math.max(...methods.map((m) => textWidth(m.label))), 40, width * 0.24));
    const margin = nameWidth + 70;
    const lo = Math.floor(methods[0].rank);
    const hi = Math.ceil(Math.max(lo + ranks.cd, lo + 1, methods.at(-1).rank));
    const X = scale([lo, hi], [margin, width - margin]);
    const bars = cliqueBars(ranks.cliques, methods.length - 1);
    const axis = 66;
    const firstRow = axis + 24 + 9 * Math.max(0, ...bars.map((bar) => bar[2] + 1));
    const half = Math.ceil(methods.length / 2);
    const marks = ticks([lo, hi], Math.min(12, (width - 2 * margin) / 40), true);
    const method = ({ label, rank, arm }, i) => {
      const { look } = arms[arm];
      const [side, anchor] = i < half ? [-1, "end"] : [1, "start"];
      const y = firstRow + 20 * (i < half ? i : methods.length - 1 - i);
      const end = i < half ? margin - 8 : width - margin + 8;
      const line = path("leader", `M${X(rank)} ${axis}V${y}H${end}`, { "stroke-dasharray": look.dash || null });
      return [
        svg("g", tint(look), line, path("marker", markerPath(look.marker, end, y, 3.4))),
        words(rank.toFixed(2), end + side * 9, y + 4, anchor, "tick"),
        words(fit(label, nameWidth), end + side * 44, y + 4, anchor),
      ];
    };
    const title = `Mean ranks by ${ranks.metric}, best on the left, with the critical difference`;
    return picture(width, firstRow + 20 * half, title,
      path("axis", `M${X(lo)} ${axis}H${X(hi)}${marks.map((v) => `M${X(v)} ${axis}v-5`).join("")}`),
      ...marks.map((v) => words(String(v), X(v), axis - 10, "middle", "tick")),
      path("axis", `M${X(lo)} 22V30M${X(lo)} 26H${X(lo + ranks.cd)}M${X(lo + ranks.cd)} 22V30`),
      words(`CD = ${ranks.cd.toFixed(2)}`, X(lo), 15),
      ...methods.flatMap(method),
      ...bars.map(([from, to, level]) => {
        const y = axis + 10 + 9 * level;
        return path("clique", `M${X(methods[from].rank) - 3} ${y}H${X(methods[to].rank) + 3}`);
      }));
  }

  function rankWords(ranks) {
    const p = known(ranks.p) && ranks.p < 0.001 ? "p < 0.001" : `p = ${pValue(ranks.p)}`;
    const differ = known(ranks.p) && ranks.p < ranks.alpha;
    const verdict = differ ? "the methods differ" : "no difference between the methods is shown";
    const count = ranks.methods.length;
    const some = count > MOST_METHODS ? ` The best ${MOST_METHODS} of ${count} methods are drawn.` : "";
    return `: Friedman's test over ${ranks.n_blocks} blocks (${ranks.blocks}) gives χ² = ${number(ranks.chi2, 1)} ` +
      `with ${ranks.df} degrees of freedom, ${p}: ${verdict}. Rank 1 is best. Methods further apart than the ` +
      `critical difference CD = ${number(ranks.cd, 2)} differ (Nemenyi, α = ${ranks.alpha}); a thick bar joins ` +
      `methods that do not.${some}`;
  }

  function drawRanks() {
    const host = find("#ranks [data-host]");
    if (!host) return;
    const width = clamp(host.clientWidth, 600, 900);
    const opened = [...host.querySelectorAll("details")].map((details) => details.open);
    host.replaceChildren(...study.ranks.map((ranks, i) => {
      const caption = html("figcaption", {}, html("b", {}, ranks.metric), rankWords(ranks));
      const figure = html("figure", {}, caption, region(`mean ranks by ${ranks.metric}`, rankDiagram(ranks, width)));
      if (i === 0) return figure;
      return html("details", { open: opened[i - 1] }, html("summary", {}, `Mean ranks by ${ranks.metric}`), figure);
    }));
  }

  // ---- Kernels ----

  function kernelLook(k) {
    const [light, dark] = KERNEL_COLOURS[k % KERNEL_COLOURS.length];
    const dash = DASHES[Math.floor(k / KERNEL_COLOURS.length) % DASHES.length];
    return { light, dark, dash, marker: MARKERS[k % MARKERS.length] };
  }

  function traceFigure(trace, kernels, width) {
    const curves = trace.curves.map((curve) => ({
      label: curve.label, look: kernelLook(kernels.indexOf(curve.label)),
      points: curve.mean.map((y, round) => ({ x: round, y, lo: curve.lo?.[round], hi: curve.hi?.[round] })),
    }));
    const points = curves.flatMap((curve) => curve.points);
    const x = [0, Math.max(1, ...points.map((p) => p.x))];
    const f = frame({
      width, height: 260, x: widen(x, 0.03), whole: true, xTitle: ALONG.round,
      y: widen(extent(points.flatMap((p) => [p.y, p.lo, p.hi])) ?? [0, 1], 0.06), yTitle: trace.name,
      title: `${trace.what} of ${trace.title} by round`,
    });
    curves.forEach(({ look, points: own }) => drawCurve(f, look, own, { bands: true }));
    const key = html("ul", { class: "key" }, ...curves.map(({ look, label }) => html("li", {}, swatch(look), label)));
    return html("figure", {}, html("h3", {}, `${trace.what}: ${trace.title}`), f.node, key);
  }

  function drawTraces() {
    const host = find("#traces [data-host]");
    if (!host) return;
    const kernels = distinct(study.traces.flatMap((trace) => trace.curves.map((curve) => curve.label)));
    const chosen = study.traces.filter((trace) => trace.title === find("[data-trace]").value);
    const room = host.clientWidth;
    const width = Math.min(560, room >= 740 ? (room - 32) / 2 : room);
    host.replaceChildren(...chosen.map((trace) => traceFigure(trace, kernels, width)));
  }

  function prepareTraces() {
    if (!study.traces.length) return find("#traces").remove();
    const titles = distinct(study.traces.map((trace) => trace.title));
    options(find("[data-trace]"), titles.map((title) => [title, title]), titles[0]);
    find("[data-trace]").addEventListener("change", drawTraces);
  }

  // ---- Run time ----

  function totalSeconds(a) {
    return PARTS.reduce((sum, part) => sum + (arms[a].seconds[part] ?? 0), 0);
  }

  function drawTime(most) {
    const timed = byRank.filter((a) => arms[a].seconds).sort((a, b) => totalSeconds(b) - totalSeconds(a));
    const longest = totalSeconds(timed[0]) || 1;
    const digits = clamp(2 - Math.floor(Math.log10(longest)), 0, 6);
    const bar = (a) => {
      let from = 0;
      return svg("svg", { height: 13, "aria-hidden": "true" }, ...PARTS.map((part, i) => {
        const share = (100 * (arms[a].seconds[part] ?? 0)) / longest;
        from += share;
        const place = { x: `${from - share}%`, width: `${share}%`, height: 13, style: `fill:var(--part-${i})` };
        return svg("rect", place, svg("title", {}, `${part} ${number(arms[a].seconds[part], digits)} s`));
      }));
    };
    const seconds = (title, of, kind) =>
      ({ key: title, title, kind, numeric: true, down: true, value: of, cell: (a) => number(of(a), digits) });
    const columns = [
      { key: "arm", title: "arm", header: true, value: (a) => arms[a].label, cell: (a) => named(a) },
      seconds("total", totalSeconds),
      { key: "bar", title: "parts of the run", fixed: true, kind: "bar", cell: bar },
      ...PARTS.map((part) => seconds(part, (a) => arms[a].seconds[part], "roomy")),
    ];
    const table = { caption: "Seconds of a run", columns, items: timed.slice(0, most), kind: "bars" };
    find("#time [data-host]").replaceChildren(sortableTable({ ...table, sort: { key: "total", down: true } }));
    find("[data-all]").hidden = timed.length <= most;
    find("[data-all]").textContent = `Show all ${timed.length}`;
  }

  function prepareTime() {
    if (!arms.some((arm) => arm.seconds)) return find("#time").remove();
    const colour = (i) => svg("svg", { class: "swatch", width: 12, height: 12, "aria-hidden": "true" },
      svg("rect", { width: 12, height: 12, style: `fill:var(--part-${i})` }));
    find("[data-key]").append(...PARTS.map((part, i) => html("li", {}, colour(i), part)));
    find("[data-all]").addEventListener("click", () => drawTime(arms.length));
    drawTime(MOST_BARS);
  }

  // ---- Settings and tables ----

  function drawSettings() {
    const host = find("#settings [data-host]");
    if (!host) return;
    const items = find("[data-selected]").checked ? byRank.filter((a) => state.shown.has(a)) : byRank;
    const all = study.settings.map((_, i) => i);
    const differing = all.filter((i) => distinct(items.map((a) => arms[a].settings[i])).length > 1);
    const kept = differing.length ? differing : all;
    const counts = `${kept.length} of ${all.length} settings differ between the arms listed.`;
    find("#settings [data-caption]").textContent =
      `What differs between the resolved scenarios of the arms; ${MISSING} is not set.` +
      (kept.length < all.length ? ` ${counts}` : "");
    const columns = [
      rankColumn,
      { key: "arm", title: "arm", header: true, value: (a) => arms[a].label, cell: (a) => named(a) },
      ...kept.map((i) => ({
        key: `setting-${i}`, title: study.settings[i], kind: "name",
        value: (a) => arms[a].settings[i] || null, cell: (a) => arms[a].settings[i] || MISSING,
      })),
    ];
    const table = { caption: "Settings of the arms", columns, items, sort: state.settingsSort };
    const nothing = html("p", { class: "none" }, "No arm is drawn in the curves.");
    host.replaceChildren(items.length ? sortableTable(table) : nothing);
  }

  function prepareSettings() {
    if (!study.settings.length) return find("#settings").remove();
    find("[data-selected]").checked = arms.length > MANY_ARMS;
    find("[data-selected]").addEventListener("change", drawSettings);
  }

  /** The first number in a text, so that "<0.001" and "0.10 ± 0.02" sort as numbers. */
  function leading(text) {
    const found = /[-\u2212]?\d[\d,]*\.?\d*(e[-+]?\d+)?/i.exec(text);
    return found ? Number(found[0].replace(MINUS, "-").replaceAll(",", "")) : null;
  }

  /** Shows a column of plain numbers with the same decimals, but none as zero that is not. */
  function alignedText(texts) {
    const values = texts.filter(Boolean).map(Number);
    if (!values.length || values.some(Number.isNaN) || values.every(Number.isInteger)) return (text) => text;
    const digits = Math.min(decimals(values) + 1, MOST_DECIMALS);
    const vanishes = (value) => value !== 0 && Number(value.toFixed(digits)) === 0;
    return (text) => text && (vanishes(Number(text)) ? powered(Number(text)) : number(Number(text), digits));
  }

  function tableSection(table, id) {
    const columns = table.columns.map((title, i) => {
      const textOf = (row) => String(row[i] ?? "");
      const shownText = table.numeric[i] ? alignedText(table.rows.map(textOf)) : (text) => text;
      const cell = (row) =>
        (armOfLabel.has(textOf(row)) ? named(armOfLabel.get(textOf(row))) : shownText(textOf(row)) || MISSING);
      const value = (row) => (table.numeric[i] ? leading(textOf(row)) : textOf(row) || null);
      return { key: `column-${i}`, title, numeric: table.numeric[i], value, cell };
    });
    const node = sortableTable({ caption: table.title, columns, items: table.rows, sort: { key: null, down: false } });
    const heading = html("h2", { id: `${id}-title` }, table.title);
    const host = region(table.title, node);
    host.classList.add("tall");
    return html("section", { id, "aria-labelledby": `${id}-title` }, heading, host);
  }

  function drawTables() {
    for (const table of study.tables) {
      const slug = table.title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "table";
      let id = slug;
      for (let i = 2; document.getElementById(id); i += 1) id = `${slug}-${i}`;
      find("#definitions").before(tableSection(table, id));
    }
  }

  // ---- Definitions and provenance ----

  function drawEnd() {
    const term = ([name, text]) => [html("dt", {}, name), html("dd", {}, text)];
    find("[data-metrics]").append(...metrics.flatMap((m) => term([m.name, `${m.definition} (${direction(m)})`])));
    find("[data-notes]").append(...study.notes.map((note) => html("li", {}, note)));
    find("[data-command]").textContent = study.command;
    find("[data-provenance]").append(...study.provenance.flatMap(term));
    find("[data-files]").hidden = !study.files.length;
    find(".files").append(...study.files.map((file) => html("li", {}, html("a", { href: encodeURI(file) }, file))));
    const copy = find("[data-copy]");
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(study.command);
        copy.textContent = "Copied";
      } catch {
        // Where the browser refuses, the text is selected for the reader to copy.
        getSelection().selectAllChildren(find("[data-command]"));
        copy.textContent = "Selected";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    });
  }

  // ---- The page ----

  function setMetric(m) {
    state.metric = m;
    state.zoom = null;
    findAll("select[data-metric]").forEach((select) => { select.value = String(m); });
    drawArms();
    drawCurves();
    drawHeat();
  }

  function setScreen(screen) {
    Object.assign(state, { screen, zoom: null, near: null });
    findAll("select[data-screen]").forEach((select) => { select.value = screen; });
    drawLegend();
    drawCurves();
    drawHeat();
  }

  function prepareChoosers() {
    findAll("select[data-metric]").forEach((select) => {
      options(select, metrics.map((metric, m) => [String(m), metric.name]), "0");
      select.addEventListener("change", () => setMetric(Number(select.value)));
    });
    if (state.screen === null) findAll("[data-screens]").forEach((label) => label.remove());
    findAll("select[data-screen]").forEach((select) => {
      options(select, screens.map((screen) => [screen, screen]), state.screen);
      select.addEventListener("change", () => setScreen(select.value));
    });
  }

  function prepareTheme() {
    const button = find("button[data-theme]");
    const system = matchMedia("(prefers-color-scheme: dark)");
    let chosen = false;
    const set = (dark) => {
      document.documentElement.dataset.theme = dark ? "dark" : "light";
      button.textContent = dark ? "Light theme" : "Dark theme";
    };
    button.addEventListener("click", () => {
      chosen = true;
      set(document.documentElement.dataset.theme !== "dark");
    });
    system.addEventListener("change", () => { if (!chosen) set(system.matches); });
    set(system.matches);
  }

  function drawContents() {
    const sections = findAll("main > section");
    const titleOf = (section) => section.querySelector("h2")?.textContent ?? "Overview";
    const link = (section) => html("a", { href: `#${section.id}` }, titleOf(section));
    const links = new Map(sections.map((section) => [section, link(section)]));
    find("[data-contents]").append(...[...links.values()].map((node) => html("li", {}, node)));
    const watch = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => {
      links.get(target).setAttribute("aria-current", isIntersecting);
    }), { rootMargin: "-20% 0px -79% 0px" });
    sections.forEach((section) => watch.observe(section));
  }

  /** Figures are drawn for the width at hand. */
  function drawFigures() {
    drawCurves();
    drawHeat();
    drawRanks();
    drawTraces();
  }

  function followWidth() {
    const main = find("main");
    let width = main.clientWidth;
    new ResizeObserver(() => requestAnimationFrame(() => {
      if (main.clientWidth === width) return;
      width = main.clientWidth;
      drawFigures();
    })).observe(main);
    addEventListener("beforeprint", () => findAll("details").forEach((details) => { details.open = true; }));
  }

  if (!study.ranks.length) find("#ranks").remove();
  prepareTheme();
  prepareChoosers();
  prepareArms();
  prepareCurves();
  prepareHeat();
  prepareTraces();
  prepareTime();
  prepareSettings();
  drawOverview();
  drawArms();
  drawLegend();
  drawSettings();
  drawTables();
  drawEnd();
  drawContents();
  drawFigures();
  followWidth();
  document.documentElement.dataset.ready = "true";
})();
