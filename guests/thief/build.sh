#!/bin/sh
# Builds the server that steals, and its prey: one program. Leaves OUT/thief.
#
# usage: build.sh OUT
set -eu

. "$(dirname "$0")/../sources.sh"
begin "$@"

cross_bare thief "$here/thief.c" -O1
