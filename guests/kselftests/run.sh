# Runs the selftests below /kst in the guest, one line each: `KST group/name STATUS SECONDS`; words of a failing one behind it.
# Status as the kernel's tests have it: 0 passed, 4 not applicable here, 124 ran out of time, other failed.
# /kst/list names the tests; the word kst=PATTERN on the kernel command line takes some only.
pattern=$(sed -n 's/.*kst=\([^ ]*\).*/\1/p' /proc/cmdline)
cd /tmp
while read -r name limit args; do
    case $name in '#'* | '') continue ;; esac
    case $name in *"$pattern"*) ;; *) continue ;; esac
    [ -x "/kst/$name" ] || { echo "KST $name absent 0"; continue; }
    begin=$(cut -d. -f1 /proc/uptime)
    (cd "/kst/${name%/*}" && timeout -s KILL "${limit:-300}" "./${name##*/}" $args) >/tmp/log 2>&1 </dev/null
    status=$?
    end=$(cut -d. -f1 /proc/uptime)
    echo "KST $name $status $((end - begin))"
    case $status in 0 | 4) ;; *) tail -n 12 /tmp/log | sed 's/^/KST-LOG /' ;; esac
done </kst/list
echo KST-DONE
poweroff -f
