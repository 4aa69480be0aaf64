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
