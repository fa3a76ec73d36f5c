#!/usr/bin/env bash
# Set up what the tests need, run all of them, and close with one line per part.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

tests/setup/peers.sh test || exit
make --no-print-directory .venv/.installed-test || exit

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
summary=()
failed=0

# part NAME COMMAND…: run it, keep its last line for the summary, and what pytest names as failed.
part() {
    local name=$1 status last line
    shift
    echo "=== $name"
    "$@" 2>&1 | tee "$logs/part"
    status=${PIPESTATUS[0]}
    last=$(grep -v '^[[:space:]]*$' "$logs/part" | tail -n 1)
    if [ "$status" -eq 0 ]; then
        summary+=("passed  $name: $last")
    else
        failed=1
        summary+=("FAILED  $name (exit $status): $last")
        while IFS= read -r line; do
            summary+=("        $line")
        done < <(grep -E '^(FAILED|ERROR) ' "$logs/part" | cut -c 1-200)
    fi
}

part "lint" make --no-print-directory lint
part "tests of the front end" tests/setup/front-end.sh test
part "unit tests" .venv/bin/python -m pytest tests/unit
# The same inputs each time: `make fuzz` looks for others.
part "fuzzing" .venv/bin/python -m tests.fuzz 10 -seed=1
part "tests with containers, as $(id -un)" .venv/bin/python -m pytest tests --ignore=tests/unit \
    --ignore=tests/conformance --ignore=tests/lab/browser --durations=25
# ipykernel's own suite takes as long as all of the other two, and waits for fixed times: `make scorecard` has it.
part "other projects' suites" .venv/bin/python -m pytest tests/conformance -k "nbclient or jupyter_kernel_test"
# In a process of their own: playwright leaves an event loop running, which others do not find.
part "tests in a browser" .venv/bin/python -m pytest tests/lab/browser
if [ "$(id -u)" = 0 ]; then
    part "tests with containers, as a normal user" tests/setup/as-user.sh
    part "tests of cgroup v2, in an emulated machine" timeout 1200 make --no-print-directory vm
fi

echo "=== summary"
printf '%s\n' "${summary[@]}"
exit "$failed"
