#!/usr/bin/env bash
# carry-table.sh [GROUP…]: run all kinds of objects and idioms, and write the table in ARCHITECTURE.md.
# The libraries (2 GB) lie in an environment of their own, and so does the store with its image.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

environment=build/carry-venv
[ -e "$environment/.made" ] || tests/setup/venv.sh "$environment" "${PYTHON:-}"
if [ ! -e "$environment/.installed" ] || [ pyproject.toml -nt "$environment/.installed" ]; then
    echo "Installing cellstack[carry] into $environment"
    pip=("$environment/bin/python" -m pip install --quiet --disable-pip-version-check)
    "${pip[@]}" --editable '.[carry]'
    # PyPI's PyTorch for Linux brings gigabytes of CUDA; one without it has "+cpu" in its version and comes from elsewhere.
    "${pip[@]}" 'torch==2.13.0+cpu' 2>/dev/null || echo "PyTorch without CUDA is not found by pip: its rows stay as they are"
    touch "$environment/.installed"
fi
export CELLSTACK_HOME=$PWD/build/carry-store
exec "$environment/bin/python" -m tests.carry.table "$@"
