say() { echo "rhyp-image: $*" >/dev/console; }
off() { sync; sleep 1; poweroff -f; sleep 60; }
give_up() { say "failed: $*"; off; }
root=
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    for part in /dev/vda2 /dev/sda2; do
        [ -b "$part" ] && root="$part"
    done
    [ -n "$root" ] && break
    sleep 0.5
done
[ -n "$root" ] || give_up "the guest sees no disk"
mkdir -p /target
mount -t ext4 -o noatime,nobarrier "$root" /target || give_up "the file system cannot be mounted"
if [ -s /setup/foreign ]; then
    say "step: setting owners"
    chown -hR 0:0 /target
fi
while read -r uid gid mode path; do
    chown -h "$uid:$gid" "/target$path"
    chmod "$mode" "/target$path"
done </setup/owners
for d in dev dev/pts proc sys; do
    mkdir -p "/target/$d"
    mount -o bind "/$d" "/target/$d"
done
mount -t tmpfs tmpfs /target/run
mount -t tmpfs tmpfs /target/tmp
mkdir /target/run/lock
cp -r /setup /target/run/setup
if chroot /target /bin/sh /run/setup/run "${root%2}" >/target/run/log 2>&1; then
    sync
    umount /target/dev/pts /target/dev /target/proc /target/sys /target/tmp /target/run
    umount /target && say done || say "failed: the file system is in use"
else
    tail -n 25 /target/run/log >/dev/console
    reason="$(cat /target/run/reason 2>/dev/null)"
    say "failed: ${reason:-no reason known}"
fi
off
