#!/usr/bin/env bash
# fetch.sh: fetch the sdists that notebooks.txt names, unpack them below build/public, and make an environment beside
# them (build/public-venv) with Cellstack and what the notebooks import.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

environment=build/public-venv
[ -e "$environment/.made" ] || tests/setup/venv.sh "$environment" "${PYTHON:-}"
pip=("$environment/bin/python" -m pip --quiet --disable-pip-version-check)
"${pip[@]}" install --editable . --requirement tests/public/requirements.txt

mkdir -p build/public
cut -f1 tests/public/notebooks.txt | sort -u | while read -r sdist; do
    [ -e "build/public/.$sdist" ] && continue
    echo "Fetching $sdist"
    rm -rf build/public/fetched
    # pip asks the package's own build for its metadata, which may need wheels of other packages.
    "${pip[@]}" download --no-deps --no-binary "${sdist%%==*}" --dest build/public/fetched "$sdist" </dev/null
    tar -xzf build/public/fetched/*.tar.gz -C build/public
    touch "build/public/.$sdist"
done
rm -rf build/public/fetched
