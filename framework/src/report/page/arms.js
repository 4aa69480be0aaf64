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
