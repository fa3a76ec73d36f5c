#!/usr/bin/env bash
# peers.sh test|bench: install the programs that tests and benchmarks compare with, where that is allowed.
# Without root or apt-get nothing happens: what needs a missing program is skipped with the package's name.
set -euo pipefail

declare -A packages=([bwrap]=bubblewrap [runc]=runc [dockerd]=docker.io [busybox]=busybox-static)
case $1 in
    test) programs=() ;;
    bench) programs=(bwrap runc dockerd busybox) ;;
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
