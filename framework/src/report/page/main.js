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
