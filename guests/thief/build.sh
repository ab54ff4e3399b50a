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

cross_bare thief "$here/thief.c" -O1
