#!/bin/sh
# Builds the storm on the kernel's locks, static, little-endian. Leaves OUT/storm.
#
# usage: build.sh OUT
set -eu

out=${1:?usage: build.sh OUT}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
. "$here/../sources.sh"

cross_linux storm "$here/storm.c" -O2 -std=gnu11 -pthread
