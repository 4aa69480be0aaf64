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
