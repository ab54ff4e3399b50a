#!/bin/sh
# Builds the neighbour that means ill. Leaves OUT/hostile.
#
# usage: build.sh OUT
set -eu

. "$(dirname "$0")/../sources.sh"
begin "$@"

cross_bare hostile "$here/hostile.S"
