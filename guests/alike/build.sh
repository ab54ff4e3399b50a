#!/bin/sh
# Builds the partition whose memory others have, too. Leaves OUT/alike.
#
# usage: build.sh OUT
set -eu

. "$(dirname "$0")/../sources.sh"
begin "$@"

cross_bare alike "$here/alike.c" -O1
