#!/usr/bin/env bash
# demo.sh NOTEBOOK OUTPUT: run the notebook, a container per cell, and say what happened.
set -euo pipefail

notebook=$1
output=$2
mkdir -p "$(dirname "$output")"
.venv/bin/cellstack execute "$notebook" -o "$output"
cat <<END

What was run: every code cell of $notebook, each in a new container of its own.
Executed notebook: $(realpath "$output")
Open it in JupyterLab: make lab
END
