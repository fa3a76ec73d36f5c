#!/usr/bin/env bash
# venv.sh DIRECTORY [PYTHON]: make a virtual environment with the first Python that is new enough.
set -euo pipefail

directory=$1   # one that works is kept
wanted=${2:-}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

can_make_venv() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null
}

# Debian keeps ensurepip in a package of its own; other systems ship it with Python.
say_how_to_get_venv() {
    local version
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "$1 cannot make a virtual environment: its modules venv and ensurepip are missing." >&2
    echo "On Debian and Ubuntu: apt-get install python$version-venv. Elsewhere install Python's full standard library." >&2
}

if [ -z "$wanted" ] && is_new_enough "$directory/bin/python" && can_make_venv "$directory/bin/python"; then
    touch "$directory/.made"
    exit 0
fi

if [ -n "$wanted" ]; then
    candidates=("$wanted")
else
    candidates=(python3 python3.14 python3.13 python3.12 python3.11)
fi

incomplete=
for python in "${candidates[@]}"; do
    is_new_enough "$python" || continue
    if ! can_make_venv "$python"; then
        incomplete=$python
        continue
    fi
    "$python" -m venv --clear "$directory"
    touch "$directory/.made"
    exit 0
done

if [ -n "$incomplete" ]; then
    say_how_to_get_venv "$incomplete"
    exit 3
fi
found=$("${candidates[0]}" --version 2>/dev/null || echo "no ${candidates[0]}")
echo "Cellstack needs Python 3.11 or newer; found $found." >&2
echo "Install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3 …" >&2
exit 3
