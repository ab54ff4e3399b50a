# Runs the selftests below /kst in the guest, one line each: `KST group/name STATUS SECONDS`; words of a failing one behind it.
# Status as the kernel's tests have it: 0 passed, 4 not applicable here, 124 or 137 ran out of time, other failed.
# /kst/list names the tests; the word kst=PATTERN on the kernel command line takes some only.
# Tests that only compute, and long, run beside the others, which come one after the other.
pattern=$(sed -n 's/.*kst=\([^ ]*\).*/\1/p' /proc/cmdline)
mkdir -p /tmp/beside /tmp/others
lane() {
    cd "/tmp/$1"
    while read -r name limit args; do
        case $name in '#'* | '') continue ;; esac
        case $name in *"$pattern"*) ;; *) continue ;; esac
        case $name in
        copyloops/* | stringloops/memcmp_64) [ "$1" = beside ] || continue ;;
        *) [ "$1" = others ] || continue ;;
        esac
        [ -x "/kst/$name" ] || { echo "KST $name absent 0"; continue; }
        begin=$(cut -d. -f1 /proc/uptime)
        (cd "/kst/${name%/*}" && timeout -s KILL "${limit:-300}" "./${name##*/}" $args) >"/tmp/$1/log" 2>&1 </dev/null
        status=$?
        end=$(cut -d. -f1 /proc/uptime)
        echo "KST $name $status $((end - begin))"
        case $status in 0 | 4) ;; *) tail -n 12 "/tmp/$1/log" | sed "s|^|KST-LOG $name |" ;; esac
    done </kst/list
}
lane beside &
lane others
wait
echo KST-DONE
poweroff -f
