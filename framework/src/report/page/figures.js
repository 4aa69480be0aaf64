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
