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

cross_bare hostile "$here/hostile.S"
