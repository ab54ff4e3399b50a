#!/bin/sh
# Builds the checks of the guest's arithmetic, static, little-endian. Leaves OUT/arithmetic.
#
# usage: build.sh OUT
set -eu

out=${1:?usage: build.sh OUT}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
. "$here/../sources.sh"

need powerpc64le-linux-gnu-gcc:gcc-powerpc64le-linux-gnu /usr/powerpc64le-linux-gnu/lib/libc.a:libc6-dev-ppc64el-cross
powerpc64le-linux-gnu-gcc -O1 -std=gnu11 -Wall -Wextra -Werror -ffp-contract=off -frounding-math -fno-builtin \
    -static -o "$out/arithmetic.new" "$here/arithmetic.c" -lm
mv "$out/arithmetic.new" "$out/arithmetic"
echo "$out/arithmetic"
