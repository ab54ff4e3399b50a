#!/bin/sh
# Builds the checks of the guest's arithmetic, static, little-endian. Leaves OUT/arithmetic.
#
# usage: build.sh OUT
set -eu

. "$(dirname "$0")/../sources.sh"
begin "$@"

cross_linux arithmetic "$here/arithmetic.c" -O1 -std=gnu11 -ffp-contract=off -frounding-math -fno-builtin -lm
