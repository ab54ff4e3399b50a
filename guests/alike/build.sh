#!/bin/sh
# Builds the partition whose memory others have, too. Leaves OUT/alike.
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
    -Wl,-EB,-Ttext=0x1234000,--build-id=none -o "$out/alike.new" "$here/alike.c"
mv "$out/alike.new" "$out/alike"
echo "$out/alike"
