#!/usr/bin/env bash
# lint.sh FOLDER…: every check runs, also after one has failed. Notebooks are prose with code and are not linted.
set -uo pipefail

failed=0
check() {
    echo "--- $*"
    ".venv/bin/$1" "${@:2}" || failed=1
}

check ruff check --exclude '*.ipynb' "$@"
check ruff format --check --exclude '*.ipynb' "$@"
check mypy
check lint-imports
exit "$failed"
