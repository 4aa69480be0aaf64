#!/usr/bin/env bash
# Times our selection rules beside bmdal_reg, and `gears` and `mc_dropout_mlp` beside themselves in PyTorch, on the same
# inputs, in one run, and prints the ratios:
#   benches/compare.sh PYTHON PEERS
# PYTHON is an interpreter with torch and bmdal_reg, PEERS the folder with bench_select.py, bench_kernel.py,
# bench_cycle.py, bench_mmd.py and bench_naiad.py.
# Two threads, single precision, median of the runs. Give the machine nothing else to do.
set -euo pipefail
python=${1:?usage: benches/compare.sh PYTHON PEERS}
peers=${2:?usage: benches/compare.sh PYTHON PEERS}
cd "$(dirname "$0")/.."
cargo bench --profile dev --no-run -p screenwright-benches --bench select --bench fuse --bench gears --bench cycle --bench ids --bench contrast --bench ratio --bench naiad
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

# One GeneDisco cycle with the dropout network: 100 epochs on 1,000 x 808, then mean and spread of 17,000, in turns.
ours=$(ls -t target/debug/deps/cycle-* | grep -v '\.d$' | head -n 1)
for turn in 1 2 3; do
    "$ours" threads=2 seed="$turn" >"$steps/ours.$turn"
    "$python" "$peers/bench_cycle.py" impl=bnn threads=2 repeats=3 seed="$turn" >"$steps/peer.$turn"
done
"$python" - "$steps" <<'TABLE'
import json, sys
print("\n| dropout network, s a cycle | PyTorch (fit, predict; processor) | ours (fit, predict; processor) | times faster | floor s | correlation, PyTorch | ours | mean sd, PyTorch | ours |")
print("|---|---|---|---|---|---|---|---|---|")
for turn in (1, 2, 3):
    ours, peer = (json.loads(open(f"{sys.argv[1]}/{who}.{turn}").read().splitlines()[-1]) for who in ("ours", "peer"))
    a, b = (f"{r['wall_s']:.3f} ({r['fit_s']:.3f}, {r['predict_s']:.3f}; {r['cpu_s']:.3f})" for r in (peer, ours))
    quality = " | ".join(f"{r[k]:.3f}" for k in ("pool_r", "mean_std") for r in (peer, ours))
    print(f"| turn {turn} | {a} | {b} | {peer['wall_s'] / ours['wall_s']:.1f} | {ours['floor_s']:.3f} | {quality} |")
TABLE

# Networks of gene pairs: training of an ensemble, or of one network on a larger screen, and prediction of all pairs, in turns.
ours=$(ls -t target/debug/deps/naiad-* | grep -v '\.d$' | head -n 1)
small="genes=112 n_train=500 epochs=500 members=5 d_embed=16 d_single=64"
large="genes=448 n_train=2000 epochs=200 members=1 d_embed=16 d_single=256"
for hidden in 1 2; do
    for size in small large; do
        for turn in 1 2 3; do
            "$ours" ${!size} hidden=$hidden threads=2 >"$steps/ours.$hidden.$size.$turn"
            "$python" "$peers/bench_naiad.py" ${!size} hidden=$hidden threads=2 repeats=3 >"$steps/peer.$hidden.$size.$turn"
        done
    done
done
"$python" - "$steps" <<'TABLE'
import json, sys
print("\n| naiad | layers on effects | PyTorch, s (train, predict) | ours (train, predict; processor) | times faster | floor s | test rmse, PyTorch | ours |")
print("|---|---|---|---|---|---|---|---|")
for hidden in (1, 2):
    for size in ("small", "large"):
        for turn in (1, 2, 3):
            read = lambda who: json.loads(open(f"{sys.argv[1]}/{who}.{hidden}.{size}.{turn}").read().splitlines()[-1])
            ours, peer = read("ours"), read("peer")
            a = f"{peer['wall_s']:.3f} ({peer['train_s']:.3f}, {peer['predict_s']:.3f})"
            b = f"{ours['wall_s']:.3f} ({ours['train_s']:.3f}, {ours['predict_s']:.3f}; {ours['cpu_s']:.3f})"
            ratio = peer["wall_s"] / ours["wall_s"]
            print(f"| {size}, turn {turn} | {hidden} | {a} | {b} | {ratio:.1f} | {ours['floor_s']:.3f} | {peer['test_rmse']:.4f} | {ours['test_rmse']:.4f} |")
TABLE

# Tests of separability: nearest neighbours beside scipy, an epoch of the ratio network beside PyTorch.
"$python" benches/ratio.py "$peers"
