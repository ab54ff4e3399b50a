#!/bin/sh
# Builds what works for ever and tells how far it came, static, little-endian. Leaves OUT/toil.
#
# usage: build.sh OUT
set -eu

. "$(dirname "$0")/../sources.sh"
begin "$@"

cross_linux toil "$here/toil.c" -O2 -std=gnu11 -pthread
