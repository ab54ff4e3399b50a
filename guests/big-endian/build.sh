#!/bin/sh
# Builds the big-endian ppc64 guest: a small kernel from Debian's linux-source and a static busybox from Debian's source
# package, both with the cross compiler of the host's Debian. Leaves OUT/vmlinux and OUT/initrd.gz.
#
# usage: build.sh OUT [JOBS]
set -eu

out=${1:?usage: build.sh OUT [JOBS]}
jobs=${2:-$(nproc)}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
cross=powerpc64-linux-gnu-
. "$here/../sources.sh"

need ${cross}gcc:gcc-powerpc64-linux-gnu /usr/powerpc64-linux-gnu/lib/libc.a:libc6-dev-ppc64-cross make:make bc:bc \
    bison:bison flex:flex xz:xz-utils bzip2:bzip2 cpio:cpio dpkg-source:dpkg-dev gcc:gcc
linux_source
debian_source busybox

mkdir -p "$out/kernel" "$out/busybox"
kernel() {
    make -C "$out/src/linux-source-6.1" ARCH=powerpc "CROSS_COMPILE=$cross" "O=$out/kernel" "$@"
}
(kernel "KCONFIG_ALLCONFIG=$here/kernel.config" allnoconfig && kernel "-j$jobs" vmlinux) >"$out/kernel.log" 2>&1 ||
    die "the kernel cannot be built, see $out/kernel.log"
"${cross}strip" --strip-debug -o "$out/vmlinux" "$out/kernel/vmlinux"

box() {
    make -C "$out/src/busybox" "O=$out/busybox" ARCH=powerpc "CROSS_COMPILE=$cross" "$@"
}
(
    box defconfig
    while IFS= read -r line; do
        case $line in
        CONFIG_*=n) sed -i "s/^${line%%=*}=.*/# ${line%%=*} is not set/" "$out/busybox/.config" ;;
        CONFIG_*) sed -i "/^# ${line%%=*} is not set/d; /^${line%%=*}=/d; \$a $line" "$out/busybox/.config" ;;
        esac
    done <"$here/busybox.config"
    yes '' | box oldconfig
    box "-j$jobs"
) >"$out/busybox.log" 2>&1 || die "busybox cannot be built, see $out/busybox.log"

root=$out/root
rm -rf "$root"
mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev"
cp "$out/busybox/busybox" "$root/bin/busybox"
ln -s busybox "$root/bin/sh"
cp "$here/init" "$root/init"
chmod 755 "$root/init" "$root/bin/busybox"
(cd "$root" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | gzip -9n) >"$out/initrd.gz.new"
mv "$out/initrd.gz.new" "$out/initrd.gz"
echo "$out/vmlinux $out/initrd.gz"
