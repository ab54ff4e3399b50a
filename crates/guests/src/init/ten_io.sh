# The partition that serves the others: the disk through Linux's SCSI target, and the way out. Of 128 MiB Linux itself
# takes 64, and each of the nine served adapters 5. So what is not needed goes, and virtual Ethernet's largest receive
# buffers (64 KiB) are 8, not 256.
rm -rf /lib/modules
dmesg -n 1
mount -t configfs none /sys/kernel/config
T=/sys/kernel/config/target
mkdir -p $T/ibmvscsis $T/core/iblock_0/disk
echo udev_path=/dev/vda > $T/core/iblock_0/disk/control
echo 1 > $T/core/iblock_0/disk/enable
units=$(ls /sys/bus/vio/devices | grep '^7100400')
for unit in $units; do
    mkdir -p $T/ibmvscsis/$unit/tpgt_1/lun/lun_0
    ln -s $T/core/iblock_0/disk $T/ibmvscsis/$unit/tpgt_1/lun/lun_0/port
done
# A bridge: the trunk adapter of the others' switch and, with ten=bridge, the way out.
ip link set lo up
ip link add br0 type bridge
for i in eth0 eth1; do
    echo 8 > /sys/class/net/$i/device/pool4/num
    ip link set $i up
done
ip link set eth0 master br0
ip address add 10.9.0.1/24 dev br0
ip link set br0 up
mkdir /www
echo 'partition 1' > /www/index.html
httpd -p 80 -h /www
if grep -q ten=bridge /proc/cmdline; then
    ip link set eth1 master br0
else
    # The outside knows one address alone: connections to it are passed on.
    cat > /tmp/lease <<'X'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add $ip/$mask dev $interface
ip route add default via $router
X
    chmod 755 /tmp/lease
    udhcpc -i eth1 -s /tmp/lease -q -n -t 20 > /dev/null 2>&1
    httpd -p 8001 -h /www
    for n in 2 3 4 5 6 7 8 9 10; do
        nc -ll -p $((8000 + n)) -e nc 10.9.0.$n 80 > /dev/null 2>&1 &
    done
fi
# Last, and while no process is made: at a client's first login Linux's ibmvscsis takes, in a tasklet, the mutex that fork
# takes too, and if fork has it at that moment the kernel stops ("scheduling while atomic").
sleep 4 &
pause=$!
sleep 1
for unit in $units; do
    echo 1 > $T/ibmvscsis/$unit/tpgt_1/enable
done
wait $pause
