#!/usr/bin/env bash
# Run the tests of tests/vm on a kernel with pure cgroup v2: Debian's, in QEMU, on this machine's files (read-only).
# Without KVM the processor is emulated, which makes Python ten to twenty times slower.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

find_kernel() {
    # The cloud flavour has no 9p and so cannot use this machine's files.
    find /boot -name 'vmlinuz-*' ! -name '*cloud*' 2>/dev/null | sort -V | tail -n 1
}

missing=()
command -v qemu-system-x86_64 >/dev/null || missing+=(qemu-system-x86)
command -v busybox >/dev/null || missing+=(busybox-static) # for the initramfs
command -v mkfs.ext4 >/dev/null || missing+=(e2fsprogs)
[ -n "$(find_kernel)" ] || missing+=(linux-image-amd64)
if [ "${#missing[@]}" -gt 0 ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "skipped: missing packages ${missing[*]}"
        exit 0
    fi
    echo "Installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# The emulated machine makes its default image from this small environment, not from .venv.
mkdir -p build/vm
[ -e build/vm/tools/bin/python ] || .venv/bin/python -m venv build/vm/tools
# Debian's Python where it is new enough: its files are few, and looking at each takes milliseconds in there.
[ -e build/vm/small/bin/python ] || tests/setup/venv.sh build/vm/small /usr/bin/python3 2>/dev/null ||
    .venv/bin/python -m venv build/vm/small
build/vm/tools/bin/python -m pip install --quiet --disable-pip-version-check virtme-ng
build/vm/small/bin/python -m pip install --quiet --disable-pip-version-check --editable . pytest pytest-timeout

# Made here, where it takes a second: in the emulated machine it would take a quarter of an hour.
disk=$PWD/build/vm/disk.ext4
trap 'rm -rf "$disk" build/vm/files' EXIT
mkdir -p build/vm/files
CELLSTACK_HOME=$PWD/build/vm/files/store build/vm/small/bin/cellstack run default true
truncate --size 4G "$disk"
mkfs.ext4 -q -d build/vm/files "$disk"

cat >build/vm/inside.sh <<END
set -e
mkdir -p /tmp/disk
mount -t ext4 /dev/vda /tmp/disk
cd "$PWD"
export CELLSTACK_TEST_HOME=/tmp/disk/store CELLSTACK_IMAGE_CHECK=no TMPDIR=/tmp PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
build/vm/small/bin/python -m pytest tests/vm -p no:cacheprovider -o filterwarnings=default && echo "in the machine: passed"
END
PATH="$PWD/build/vm/tools/bin:$PATH" vng --run "$(find_kernel)" --user root --memory 2G --cpus 2 --disable-kvm --disk "$disk" \
    -- bash build/vm/inside.sh | tee build/vm/log
grep -q "in the machine: passed" build/vm/log
