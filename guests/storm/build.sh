#!/bin/sh
# Builds the storm on the kernel's locks, static, little-endian. Leaves OUT/storm.
#
# usage: build.sh OUT
set -eu

. "$(dirname "$0")/../sources.sh"
begin "$@"

cross_linux storm "$here/storm.c" -O2 -std=gnu11 -pthread
