#!/usr/bin/env bash
# conformance.sh: fetch the test suites of other projects in the versions that are installed here, with what they need
# beyond .venv. Prints the folder. What is there from an earlier run is not fetched again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python=.venv/bin/python
folder=build/conformance
mkdir -p "$folder"

for name in ipykernel nbclient jupyter_kernel_test; do
    version=$("$python" -c 'import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))' "$name")
    [ ! -d "$folder/$name-$version" ] || continue
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary "$name" \
        --dest "$folder" "$name==$version" >&2
    tar --extract --gzip --directory "$folder" --file "$folder/$name-$version.tar.gz"
done

# Plugins that these suites' settings ask for; our own tests run without them.
if [ ! -d "$folder/plugins" ]; then
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$folder/plugins.new" \
        flaky pytest-asyncio pytest-cov testpath xmltodict >&2
    mv "$folder/plugins.new" "$folder/plugins"
fi
echo "$PWD/$folder"
