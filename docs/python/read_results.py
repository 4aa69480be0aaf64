#!/usr/bin/env python3
"""Reads the rounds of a scenario, prints its arms and draws their learning curves.

Means, intervals and tests are computed here from <scenario>.parquet, then compared with arms.csv and curves.csv of the
report. The exit code is 1 where a number differs by more than 1e-9 of itself.
"""

import argparse
import math
import sys
from collections.abc import Iterable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import polars as pl
from scipy import stats

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Numbers = dict[str, float]
Runs = dict[int, tuple[np.ndarray, np.ndarray]]  # by seed: perturbations measured after each round, and a metric
TEXT = {"arm": pl.String, "reference": pl.String}  # an arm may have a number as its name
# Okabe and Ito's colours, which stay apart under the common colour blindnesses; without yellow, too pale on white.
COLOURS, DASHES = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"], ["-", "--", ":"]
MARKERS, GREY = ["o", "s", "^", "D", "v"], "#4A4A4A"


def read_rounds(path: Path, metrics: list[str]) -> pl.DataFrame:
    """The table of rounds; polars and pandas must agree on it and on the means of the last round."""
    a, b = pl.read_parquet(path), pd.read_parquet(path)
    pd.testing.assert_frame_equal(a.to_pandas(), b, check_exact=True)
    last_a = a.filter(pl.col("round") == pl.col("round").max().over("arm", "seed"))
    last_b = b[b["round"] == b.groupby(["arm", "seed"])["round"].transform("max")]
    means_a = last_a.group_by("arm").agg(pl.col(metrics).mean()).sort("arm").select(metrics).to_numpy()
    means_b = last_b.groupby("arm")[metrics].mean().sort_index().to_numpy()
    np.testing.assert_allclose(means_a.astype(float), means_b.astype(float), rtol=1e-12)
    return a


def t_interval(x: Iterable[float]) -> tuple[float, float]:
    """Mean, and half width of its 95 % t interval."""
    x = np.array(list(x))
    n = len(x)
    half = stats.t.ppf(0.975, n - 1) * np.std(x, ddof=1) / math.sqrt(n) if n > 1 else math.nan
    return np.mean(x) if n > 0 else math.nan, half


def sign_flip_p(d: np.ndarray) -> float:
    """Share of the 2^n patterns of signs whose sum is as far from 0 as that of d; above 20 pairs the t test."""
    if len(d) < 2:
        return math.nan
    if len(d) > 20 and d.any():
        return stats.ttest_1samp(d, 0.0).pvalue
    sums = np.zeros(1)
    for v in d:
        sums = np.concatenate([sums + v, sums - v])
    return np.mean(np.abs(sums) >= abs(d.sum()) - 1e-12 * np.abs(d).sum())


def area(x: np.ndarray, y: np.ndarray) -> float:
    """Area under the learning curve over perturbations measured, divided by their range."""
    return np.trapezoid(y, x) / (x[-1] - x[0]) if len(x) > 1 else y[-1]


def arm_row(runs: Runs, reference: Runs) -> Numbers:
    """What arms.csv says of an arm and a metric, under the same names."""
    row: Numbers = {}
    for kind, count, number in [("final", "n_seeds", lambda x, y: y[-1]), ("aulc", "n_aulc", area)]:
        values, other = ({s: v for s, (x, y) in r.items() if np.isfinite(v := number(x, y))} for r in (runs, reference))
        d = np.array([v - other[s] for s, v in values.items() if s in other])
        row[count], row[f"{kind}_pairs"] = len(values), len(d)
        row[f"{kind}_mean"], row[f"{kind}_half_width"] = t_interval(values.values())
        change, half = t_interval(d)
        row |= {f"{kind}_difference": change, f"{kind}_difference_p": sign_flip_p(d)}
        row |= {f"{kind}_difference_lo": change - half, f"{kind}_difference_hi": change + half}
    return row


def curve_row(runs: Runs, t: int) -> Numbers:
    """What curves.csv says of an arm and a metric after round t."""
    at = np.array([(x[t], y[t]) for x, y in runs.values() if t < len(x)])
    known = at[np.isfinite(at[:, 1])]
    mean, half = t_interval(known[:, 1])
    x = (known if len(known) > 0 else at)[:, 0].mean()
    return {"n_measured": x, "mean": mean, "lo": mean - half, "hi": mean + half, "n": len(known)}


def mismatches(what: str, ours: Numbers, theirs: dict, scale: float) -> list[str]:
    out = []
    for name, a in ours.items():
        b = math.nan if theirs[name] is None else float(theirs[name])
        # What rounding leaves of a difference that is nearly 0 is not a mismatch.
        near = math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12 * scale) or (math.isnan(a) and math.isnan(b))
        out += [] if near else [f"{what}, {name}: {a} here, {b} in the report"]
    return out


def within_seeds(arms: list[Runs]) -> np.ndarray | None:
    """By arm and round, half width of the 95 % t interval within seeds: what arms share of a seed is taken out."""
    n, m = len(arms[0]), len(arms)
    shape = {(tuple(sorted(runs)), len(y)) for runs in arms for _, y in runs.values()}
    if len(shape) > 1 or n < 2 or m < 2:
        return None
    y = np.array([[runs[seed][1] for seed in sorted(runs)] for runs in arms])
    own = y - y.mean(axis=0)
    return math.sqrt(m / (m - 1)) * stats.t.ppf(0.975, n - 1) * own.std(axis=1, ddof=1) / math.sqrt(n)


def draw(arms: dict[str, Runs], references: set[str], title: str, metric: str, path: Path) -> None:
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    fig, ax = plt.subplots(figsize=(8, 5), layout="constrained")
    bands = within_seeds(list(arms.values()))
    for k, (arm, runs) in enumerate(arms.items()):
        points = [curve_row(runs, t) for t in range(max(len(x) for x, _ in runs.values()))]
        x, mean, lo = (np.array([p[c] for p in points]) for c in ("n_measured", "mean", "lo"))
        half = mean - lo if bands is None else bands[k]
        colour = GREY if arm in references else COLOURS[k % len(COLOURS)]
        look = {"linestyle": DASHES[k // len(COLOURS) % len(DASHES)], "marker": MARKERS[k % len(MARKERS)]}
        ax.plot(x, mean, color=colour, linewidth=1.8, markersize=5, label=arm, **look)
        ax.fill_between(x, mean - half, mean + half, color=colour, alpha=0.15 if len(arms) < 9 else 0.05, linewidth=0)
    ax.grid(axis="y", color="#E8E8E8")
    ax.set_axisbelow(True)
    ax.set(xlabel="perturbations measured", ylabel=metric)
    ax.set_title(title, loc="left", fontweight="bold", pad=12)
    by_end = sorted(ax.get_lines(), key=lambda line: -np.nan_to_num(line.get_ydata()[-1], nan=-np.inf))
    fig.legend(handles=by_end, loc="outside right center", frameon=False)
    of = "of the mean" if bands is None else "within seeds (what arms share of a seed taken out)"
    fig.supxlabel(f"Mean over seeds; bands: 95 % t interval {of}.", x=0.01, ha="left", size=8, color="#5C5C5C")
    fig.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    fig.savefig(path, dpi=150)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="results folder")
    parser.add_argument("scenario", help="its name, as in <results>/<scenario>.parquet")
    parser.add_argument("figure", type=Path, help="figure to write: .png, .svg or .pdf")
    parser.add_argument("--metric", help="what to print and draw [default: the first of the report]")
    args = parser.parse_args()

    report = args.results / args.scenario / "report"
    arms = pl.read_csv(report / "arms.csv", schema_overrides=TEXT, infer_schema_length=None)
    curves = pl.read_csv(report / "curves.csv", schema_overrides=TEXT, infer_schema_length=None)
    path = args.results / f"{args.scenario}.parquet"
    # hits_per_kusd is made from prices when results are reported; it is not stored.
    metrics = [m for m in arms["metric"].unique(maintain_order=True) if m != "hits_per_kusd"]
    shown = args.metric or metrics[0]
    if shown not in metrics:
        parser.error(f"--metric {shown}: the report has {', '.join(metrics)}")
    rounds = read_rounds(path, metrics)
    runs: dict[tuple[str, str], Runs] = {(arm, metric): {} for arm in arms["arm"] for metric in metrics}
    for (arm, seed), run in rounds.sort("round").group_by("arm", "seed", maintain_order=True):
        for metric in metrics:
            runs[arm, metric][seed] = (run["n_measured"].to_numpy().astype(float), run[metric].to_numpy())
    wrong: list[str] = []
    width = max(len(arm) for arm in arms["arm"])
    print(f"{shown} after the last round, with 95 % t intervals; differences are paired by seed")
    print(f"{'arm':{width}}  seeds  {'mean':16}  {'difference':27}  {'p':6}  reference")
    for theirs in arms.filter(pl.col("metric").is_in(metrics)).to_dicts():
        arm, metric, reference = theirs["arm"], theirs["metric"], theirs["reference"]
        ours = arm_row(runs[arm, metric], runs.get((reference, metric), {}))
        wrong += mismatches(f"{arm}, {metric}", ours, theirs, abs(ours["final_mean"]))
        if metric == shown:
            mean = f"{ours['final_mean']:.4f} ± {ours['final_half_width']:.4f}"
            ends = [ours[f"final_difference{end}"] for end in ("", "_lo", "_hi")]
            test = f"{ends[0]:+.4f} [{ends[1]:+.4f}, {ends[2]:+.4f}]  {ours['final_difference_p']:.4f}  {reference}"
            print(f"{arm:{width}}  {ours['n_seeds']:5}  {mean:16}  {test if reference else '-'}")
    for theirs in curves.filter(pl.col("metric").is_in(metrics)).to_dicts():
        arm, metric, t = theirs["arm"], theirs["metric"], theirs["round"]
        ours = curve_row(runs[arm, metric], t)
        wrong += mismatches(f"{arm}, {metric}, round {t}", ours, theirs, abs(ours["mean"]))
    with_runs = {arm: runs[arm, shown] for arm in arms["arm"].unique(maintain_order=True) if runs[arm, shown]}
    draw(with_runs, set(arms["reference"].drop_nulls()), args.scenario, shown, args.figure)
    print("\n".join(wrong[:20]) or "All numbers agree with arms.csv and curves.csv.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
