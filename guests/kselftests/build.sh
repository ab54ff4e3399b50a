#!/bin/sh
# Builds the kernel's own selftests for powerpc from Debian's linux-source, static, little-endian. Leaves them below
# OUT/bin, a directory for each group.
#
# usage: build.sh OUT [JOBS]
set -eu

out=${1:?usage: build.sh OUT [JOBS]}
jobs=${2:-$(nproc)}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
. "$here/../sources.sh"

need powerpc64le-linux-gnu-gcc:gcc-powerpc64le-linux-gnu /usr/powerpc64le-linux-gnu/lib/libc.a:libc6-dev-ppc64el-cross \
    make:make xz:xz-utils rsync:rsync gcc:gcc
linux_source

tests=$out/src/linux-source-6.1/tools/testing/selftests
# A test stops itself after a time that suits hardware; an emulator on a busy host gets ten times that.
sed -i 's/alarm(timeout)/alarm(10 * timeout)/' "$tests/powerpc/harness.c"
grep -q 'alarm(10 \* timeout)' "$tests/powerpc/harness.c" || die "the tests' time limit is not where it was"
# One stores through pointers that are not volatile: the compiler leaves out all but the last of four stores.
sed -i 's/^\t\(__u[0-9]* \*p[csil]var;\)/\tvolatile \1/' "$tests/powerpc/ptrace/ptrace-hwbreak.c"
[ "$(grep -c '^.volatile __u.* \*p[csil]var;' "$tests/powerpc/ptrace/ptrace-hwbreak.c")" = 4 ] ||
    die "the stores of ptrace-hwbreak are not where they were"
build() {
    make "-j$jobs" -C "$out/src/linux-source-6.1" ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu- headers &&
        # Warnings of a newer compiler are no failures; -k: a test that does not compile leaves the others be.
        CFLAGS="-static -w" LDFLAGS=-static make -k "-j$jobs" -C "$tests" TARGETS=powerpc ARCH=powerpc \
            CROSS_COMPILE=powerpc64le-linux-gnu-
}
build >"$out/build.log" 2>&1 || die "the selftests cannot be built, see $out/build.log"
rm -rf "$out/bin"
mkdir -p "$out/bin"
cd "$tests/powerpc"
for group in alignment copyloops dscr math mm primitives ptrace security signal stringloops switch_endian syscalls tm \
    vphn pmu pmu/ebb cache_shape; do
    mkdir "$out/bin/$group"
    find "$group" -maxdepth 1 -type f -perm -100 ! -name '*.sh' -exec sh -c '
        for f; do head -c4 "$f" | grep -q ELF && powerpc64le-linux-gnu-strip -o "'"$out"'/bin/$f" "$f"; done' sh {} +
done
find "$out/bin" -type f | wc -l
