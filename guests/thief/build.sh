#!/bin/sh
# Builds the server that steals, and its prey: one program. Leaves OUT/thief.
#
# usage: build.sh OUT
set -eu

out=${1:?usage: build.sh OUT}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
. "$here/../sources.sh"

need powerpc64le-linux-gnu-gcc:gcc-powerpc64le-linux-gnu
powerpc64le-linux-gnu-gcc -mbig -mabi=elfv2 -mcpu=power8 -O1 -Wall -Wextra -Werror -ffreestanding -nostdlib -static -fno-pic \
    -no-pie -fno-stack-protector -fno-tree-loop-distribute-patterns -msoft-float -mno-altivec -mno-vsx \
    -Wl,-EB,-Ttext=0x1234000,--build-id=none -o "$out/thief.new" "$here/thief.c"
mv "$out/thief.new" "$out/thief"
echo "$out/thief"
