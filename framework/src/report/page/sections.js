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
