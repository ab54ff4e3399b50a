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

cross_linux arithmetic "$here/arithmetic.c" -O1 -std=gnu11 -ffp-contract=off -frounding-math -fno-builtin -lm
