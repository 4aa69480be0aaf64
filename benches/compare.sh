#!/usr/bin/env bash
# Times our selection rules beside bmdal_reg (PyTorch) on the same inputs, in one run, and prints the ratios:
#   benches/compare.sh PYTHON PEERS
# PYTHON is an interpreter with torch and bmdal_reg, PEERS the folder with bench_select.py and bench_kernel.py.
# Two threads, single precision, median of the runs. Give the machine nothing else to do.
set -euo pipefail
python=${1:?usage: benches/compare.sh PYTHON PEERS}
peers=${2:?usage: benches/compare.sh PYTHON PEERS}
cd "$(dirname "$0")/.."
cargo bench --profile dev --no-run -p screenwright-benches --bench select --bench fuse
exec "$python" benches/compare.py "$peers"
