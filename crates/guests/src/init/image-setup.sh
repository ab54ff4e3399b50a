# Configures the unpacked packages of a new system, inside it. $1 is the disk.
disk="$1"
exec 3>/dev/console
say() { echo "rhyp-image: $*" >&3; }
give_up() { echo "$*" >/run/reason; exit 1; }
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true LC_ALL=C HOME=/root
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd /
umask 022

# Nothing is started by being configured.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d

say "step: configuring packages"
ldconfig || give_up "ldconfig"
export DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_ARCH=ppc64el DPKG_ADMINDIR=/var/lib/dpkg
for package in base-passwd $(cat /run/setup/preinsts); do
    [ -x "/var/lib/dpkg/info/$package.preinst" ] || continue
    DPKG_MAINTSCRIPT_PACKAGE="${package%:*}" "/var/lib/dpkg/info/$package.preinst" install ||
        give_up "the preparation of $package"
done
# The kernel makes its RAM disk when it is configured; that of all others need not be made a second time.
once=/etc/initramfs-tools/update-initramfs.conf
cp -p "$once" /run/once
echo update_initramfs=no >"$once"
unset DPKG_MAINTSCRIPT_NAME DPKG_MAINTSCRIPT_ARCH DPKG_ADMINDIR
dpkg --force-unsafe-io --force-confold --configure --pending --status-fd 3 || give_up "dpkg --configure"
cp -p /run/once "$once"

say "step: installing the boot loader"
# Without it the boot loader's menu would name the root file system by the disk's name on this bus.
mkdir -p /dev/disk/by-uuid
ln -sf "${disk}2" "/dev/disk/by-uuid/$(cat /run/setup/uuid)"
grub-install --target=powerpc-ieee1275 --no-nvram "${disk}1" || give_up "grub-install"
update-grub || give_up "update-grub"

say "step: finishing"
if [ -s /run/setup/password ]; then
    { printf 'root:'; cat /run/setup/password; echo; } | chpasswd || give_up "chpasswd"
else
    passwd -d root || give_up "passwd"
fi
[ -d /root/.ssh ] && chmod 700 /root/.ssh
systemctl enable systemd-networkd systemd-resolved || give_up "systemctl"
systemctl disable systemd-networkd-wait-online
ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
rm -f /usr/sbin/policy-rc.d
exit 0
