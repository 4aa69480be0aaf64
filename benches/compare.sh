#!/usr/bin/env bash
# Times our selection rules beside bmdal_reg, and `gears` beside itself in PyTorch, on the same inputs, in one run, and
# prints the ratios:
#   benches/compare.sh PYTHON PEERS
# PYTHON is an interpreter with torch and bmdal_reg, PEERS the folder with bench_select.py and bench_kernel.py.
# Two threads, single precision, median of the runs. Give the machine nothing else to do.
set -euo pipefail
python=${1:?usage: benches/compare.sh PYTHON PEERS}
peers=${2:?usage: benches/compare.sh PYTHON PEERS}
cd "$(dirname "$0")/.."
cargo bench --profile dev --no-run -p screenwright-benches --bench select --bench fuse --bench gears
"$python" benches/compare.py "$peers"

# Training of `gears` beside the same network in PyTorch, same start, cells and order: ten steps each, in turns.
steps=$(mktemp -d)
trap 'rm -r "$steps"' EXIT
ours=$(ls -t target/debug/deps/gears-* | grep -v '\.d$' | head -n 1)
for turn in 1 2 3; do
    "$ours" together=1 steps=10 threads=2 dump="$steps" >"$steps/ours.$turn"
    "$python" benches/peer_gears.py dump="$steps" threads=2 2>"$steps/warnings" >"$steps/peer.$turn"
done
"$python" - "$steps" <<'TABLE'
import json, sys
print("\n| gears, s a step of 256 cells of 600 perturbations | PyTorch | ours | times faster | first and last loss, PyTorch | ours |")
print("|---|---|---|---|---|---|")
for turn in (1, 2, 3):
    ours, peer = (json.load(open(f"{sys.argv[1]}/{who}.{turn}")) for who in ("ours", "peer"))
    losses = [f"{r['loss'][0]:.6f} {r['loss'][-1]:.6f}" for r in (peer, ours)]
    a, b = peer["wall_s_step"], ours["wall_s_step"]
    print(f"| turn {turn} | {a:.3f} | {b:.3f} | {a / b:.1f} | {losses[0]} | {losses[1]} |")
TABLE
