#!/usr/bin/env bash
# Runs the script and the notebook of this folder on the results of the quickstart scenario. Fails where either fails.
#   SCREENWRIGHT             the program; without it `cargo run` builds it
#   SCREENWRIGHT_PYTHON_ENV  a virtual environment to use again, made where there is none; without it a temporary one
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

none() {
  echo "docs/python not checked: $1"
  exit 0
}
command -v python3 >/dev/null || none "there is no python3"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || none "$(python3 --version) is older than 3.11"
if [ -n "${SCREENWRIGHT:-}" ]; then
  SCREENWRIGHT=$(cd "$(dirname "$SCREENWRIGHT")" && pwd)/$(basename "$SCREENWRIGHT")
  export SCREENWRIGHT
else
  unset SCREENWRIGHT
fi

temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
env=${SCREENWRIGHT_PYTHON_ENV:-$temporary/env}
if [ ! -x "$env/bin/python" ]; then
  python3 -m venv "$env" >"$temporary/venv.log" 2>&1 || none "python3 makes no virtual environment (package python3-venv?)"
fi
"$env/bin/python" -m pip --version >/dev/null 2>&1 || none "$env has no pip"
"$env/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" ||
  none "the packages of requirements.txt could not be installed"
python=$(cd "$env/bin" && pwd)/python

# What Python and its packages keep goes to the temporary folder.
export PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=$temporary/matplotlib IPYTHONDIR=$temporary/ipython
export JUPYTER_CONFIG_DIR=$temporary/jupyter JUPYTER_DATA_DIR=$temporary/jupyter JUPYTER_RUNTIME_DIR=$temporary/jupyter

cd "$here/../.."
if [ ! -e results/quickstart.parquet ]; then
  if [ -n "${SCREENWRIGHT:-}" ]; then
    "$SCREENWRIGHT" run scenarios/quickstart.toml
  else
    cargo run -- run scenarios/quickstart.toml
  fi
fi
"$python" "$here/read_results.py" results quickstart "$temporary/curves.png"
for folder in . docs/python; do
  "$python" - "$here/read_results.ipynb" "$folder" <<'PYTHON'
import sys

import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
assert not any(cell.get("outputs") for cell in notebook.cells), "the notebook has stored outputs"
where = {"metadata": {"path": sys.argv[2]}}
NotebookClient(notebook, timeout=1200, kernel_name="python3", resources=where).execute()
print(f"read_results.ipynb ran in {sys.argv[2]}")
PYTHON
done
