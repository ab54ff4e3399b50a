# Shared by the scripts that build guests; sourced. What is built goes to $out, see begin.

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# begin OUT: makes the directory that things are built in, $out; $here is the script's.
begin() {
    out=${1:?usage: build.sh OUT}
    here=$(cd "$(dirname "$0")" && pwd)
    mkdir -p "$out"
    out=$(cd "$out" && pwd)
}

# need PROGRAM:PACKAGE ... [FILE:PACKAGE ...]: installs what the host lacks, as root, or says what is missing.
need() {
    missing=
    for pair; do
        case $pair in
        /*) [ -e "${pair%%:*}" ] || missing="$missing ${pair#*:}" ;;
        *) command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}" ;;
        esac
    done
    [ -z "$missing" ] && return
    [ "$(id -u)" = 0 ] || die "these Debian packages are missing:$missing (apt-get install$missing)"
    # shellcheck disable=SC2086
    apt-get install -y --no-remove --no-install-recommends $missing >"$out/apt.log" 2>&1 ||
        die "apt-get failed, see $out/apt.log"
}

# cross NAME SOURCE FLAG ...: compiles a program of ours to $out/NAME, whole or not at all.
cross() {
    name=$1
    shift
    need powerpc64le-linux-gnu-gcc:gcc-powerpc64le-linux-gnu
    powerpc64le-linux-gnu-gcc -Wall -Wextra -Werror -static -o "$out/$name.new" "$@"
    mv "$out/$name.new" "$out/$name"
    echo "$out/$name"
}

# cross_linux NAME SOURCE FLAG ...: a little-endian program of Linux.
cross_linux() {
    need /usr/powerpc64le-linux-gnu/lib/libc.a:libc6-dev-ppc64el-cross
    cross "$@"
}

# cross_bare NAME SOURCE FLAG ...: a big-endian program that is a kernel itself, without libraries, at 0x1234000.
cross_bare() {
    cross "$@" -mbig -mabi=elfv2 -mcpu=power8 -ffreestanding -nostdlib -fno-pic -no-pie -fno-stack-protector \
        -fno-tree-loop-distribute-patterns -msoft-float -mno-altivec -mno-vsx -Wl,-EB,-Ttext=0x1234000,--build-id=none
}

# linux_source: unpacks Debian's kernel source to $out/src/linux-source-6.1, once.
linux_source() {
    [ -f "$out/src/linux.done" ] && return
    rm -rf "$out/src/linux-source-6.1"
    mkdir -p "$out/src"
    (
        cd "$out/src"
        apt-get -q download linux-source-6.1
        dpkg-deb -x linux-source-6.1_*.deb deb
        tar -xf deb/usr/src/linux-source-6.1.tar.xz
        rm -rf deb linux-source-6.1_*.deb
    ) >"$out/linux-fetch.log" 2>&1 || die "linux-source-6.1 cannot be fetched, see $out/linux-fetch.log"
    touch "$out/src/linux.done"
}

# debian_source PACKAGE: unpacks a source package to $out/src/PACKAGE, once, through an apt of our own that also knows
# the source archives of the host's suites.
debian_source() {
    [ -f "$out/src/$1.done" ] && return
    mkdir -p "$out/src"
    (
        apt=$out/apt
        mkdir -p "$apt/lists/partial" "$apt/sources"
        for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
            [ -f "$f" ] && sed -n '/bookworm/s/^deb \(.*debian.*\)/deb-src \1/p' "$f"
        done >"$apt/sources/rhyp.list"
        for f in /etc/apt/sources.list.d/*.sources; do
            if [ -f "$f" ] && grep -q '^Suites:.*bookworm' "$f"; then
                sed 's/^Types:.*/Types: deb-src/' "$f" >"$apt/sources/$(basename "$f")"
            fi
        done
        package=$1
        set -- -q -o "Dir::Etc::SourceList=/dev/null" -o "Dir::Etc::SourceParts=$apt/sources" \
            -o "Dir::State::Lists=$apt/lists" -o "APT::Sandbox::User="
        apt-get "$@" update
        cd "$out/src"
        apt-get "$@" source --download-only "$package"
        rm -rf "$package"
        dpkg-source -x "$package"_*.dsc "$package"
    ) >"$out/$1-fetch.log" 2>&1 || die "the source of $1 cannot be fetched, see $out/$1-fetch.log"
    touch "$out/src/$1.done"
}
