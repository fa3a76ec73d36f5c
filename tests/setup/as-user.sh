#!/usr/bin/env bash
# as-user.sh [PYTEST ARGUMENT…]: as root, run the tests that start containers, or those that are named, once more as a
# normal user, who is made for it and removed after it.
# The user has an own copy of the repository and an own .venv, made from a Python that others may execute.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

for tool in useradd userdel runuser; do
    if ! command -v "$tool" >/dev/null; then
        echo "skipped: $tool is missing (package passwd or util-linux)"
        exit 0
    fi
done

number=0
while getent passwd "cellstack-test-$number" >/dev/null || [ -e "/home/cellstack-test-$number" ]; do
    number=$((number + 1))
done
user=cellstack-test-$number

remove_user() {
    local uid pid
    uid=$(id -u "$user" 2>/dev/null) || return 0
    # The user was made here, so every process of this uid was started here.
    for pid in $(ps -o pid= -U "$uid"); do
        kill -KILL "$pid" 2>/dev/null
    done
    userdel --remove "$user" >/dev/null 2>&1 || echo "user $user could not be removed: userdel --remove $user" >&2
    ! [ -e "/home/$user" ] || rm -rf --one-file-system "/home/$user"
}
trap remove_user EXIT
trap 'exit 130' INT TERM
useradd --create-home --home-dir "/home/$user" --shell /bin/bash "$user" || exit

# Temporary files and the store lie in the home, so that they go with it. Settings of pip and proxies are passed on.
environment=("HOME=/home/$user" "USER=$user" "LANG=${LANG:-C.UTF-8}" PATH=/usr/local/bin:/usr/bin:/bin "CI=${CI:-}")
environment+=("TMPDIR=/home/$user/tmp" "CELLSTACK_TEST_HOME=/home/$user/store")
while IFS= read -r name; do
    environment+=("$name=${!name}")
done < <(compgen -e | grep -E '^PIP_|^(https?|no)_proxy$|^(HTTPS?|NO)_PROXY$|^SSL_CERT_(FILE|DIR)$')

as_user() {
    runuser -u "$user" -- env -i "${environment[@]}" "$@"
}

python=
for candidate in /usr/bin/python3 /usr/local/bin/python3 /usr/bin/python3.1[1-9] /usr/local/bin/python3.1[1-9]; do
    if as_user "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "skipped: no Python >= 3.11 with venv that a normal user may execute (packages python3, python3-venv)"
    exit 0
fi

repository=/home/$user/cellstack
mkdir "$repository" "/home/$user/tmp"
tar --create --exclude=./extension/node_modules --exclude=./extension/.yarn \
    --exclude=./.venv --exclude=./.git --exclude=./build --exclude=./dist --exclude='./.*_cache' \
    --exclude=__pycache__ . | tar --extract --directory "$repository" || exit

# Root installs, with root's pip settings and cache, and gives everything to the user.
"$python" -m venv "$repository/.venv" || exit
(cd "$repository" && .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]') || exit
chown -R "$user:" "/home/$user"

tests() {
    as_user bash -c 'cd "$0" && exec .venv/bin/python -m pytest "$@"' "$repository" "$@"
}

if [ $# -gt 0 ]; then
    tests "$@"
    exit
fi
# What is carried, which message is answered with what, and what a wheel brings do not depend on who runs it; of what is
# seen in a browser, the layout does not.
failed=0
tests tests/lab/browser/test_notebook.py tests/lab/browser/test_widgets.py || failed=1
same=(unit conformance lab/browser lab/test_wheel.py lab/test_who_may_ask.py)
same+=(kernel/test_{carry_table,compare,fuzz,jupyter_kernel_test,nbclient_notebooks}.py)
tests tests "${same[@]/#/--ignore=tests/}" --durations=15 || failed=1
exit "$failed"
