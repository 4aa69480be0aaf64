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
