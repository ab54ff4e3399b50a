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

cross_bare alike "$here/alike.c" -O1
