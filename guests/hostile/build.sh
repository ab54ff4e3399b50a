#!/bin/sh
# Builds the neighbour that means ill. Leaves OUT/hostile.
#
# usage: build.sh OUT
set -eu

out=${1:?usage: build.sh OUT}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
. "$here/../sources.sh"

need powerpc64le-linux-gnu-gcc:gcc-powerpc64le-linux-gnu
powerpc64le-linux-gnu-gcc -mbig -mabi=elfv2 -nostdlib -static -Wl,-EB,-Ttext=0x1234000,--build-id=none \
    -o "$out/hostile.new" "$here/hostile.S"
mv "$out/hostile.new" "$out/hostile"
echo "$out/hostile"
