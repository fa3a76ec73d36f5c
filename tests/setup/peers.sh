#!/usr/bin/env bash
# peers.sh test|bench: install the programs that tests and benchmarks compare with, where that is allowed.
# Without root or apt-get no program is installed: what needs a missing one is skipped with the package's name.
# bench also makes environments below build/bench, since what they hold is not for .venv.
set -euo pipefail

declare -A packages=([chromium]=chromium [bwrap]=bubblewrap [runc]=runc [dockerd]=docker.io [busybox]=busybox-static)

# environment NAME PACKAGE…: make build/bench/NAME once; build/bench/NAME.missing says why it is not there.
environment() {
    local place=build/bench/$1 log
    [ ! -e "$place/.made" ] || return 0
    echo "Installing ${*:2} into $place"
    mkdir -p build/bench
    log=$(mktemp)
    if .venv/bin/python -m venv --clear "$place" >"$log" 2>&1 &&
        "$place/bin/python" -m pip install --quiet --disable-pip-version-check "${@:2}" >>"$log" 2>&1; then
        rm -f "$place.missing"
        touch "$place/.made"
    else
        { grep -m 1 '^ERROR' "$log" || tail -n 1 "$log"; } | sed 's/^ERROR: //' | cut -c 1-200 >"$place.missing"
        echo "Not installed, and skipped: $(<"$place.missing")" >&2
    fi
    rm -f "$log"
}

case $1 in
    test) programs=(chromium) ;;
    bench)
        programs=(bwrap runc dockerd busybox chromium)
        environment carry --editable . pandas scikit-learn
        environment kishu kishu==0.3.4 pandas scikit-learn
        environment server jupyter-resource-usage
        ;;
    *)
        echo "usage: peers.sh test|bench" >&2
        exit 2
        ;;
esac

[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0

missing=()
ldconfig -p | grep -q 'libseccomp\.so\.2' || missing+=(libseccomp2)
for program in "${programs[@]}"; do
    command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

echo "Installing ${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install=(apt-get install -y -qq --no-install-recommends "${missing[@]}")
if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive "${install[@]}"; } >"$log" 2>&1; then
    echo "Not installed (apt-get said so below); what needs them is skipped: ${missing[*]}" >&2
    tail -n 5 "$log" >&2
fi
