# One of those that are served: what it shows to the world went through its block of the shared disk.
n=$(sed -n 's/.*ten=\([0-9]*\).*/\1/p' /proc/cmdline)
ip link set lo up
ip address add 10.9.0.$n/24 dev eth0
ip link set eth0 up
until [ -b /dev/sda ]; do
    for h in /sys/class/scsi_host/*/scan; do echo '0 0 0' > $h; done
    sleep 1
done
mkdir /www
echo "partition $n" | dd of=/dev/sda bs=4096 seek=$n conv=sync,fsync 2> /dev/null
echo 3 > /proc/sys/vm/drop_caches
dd if=/dev/sda bs=4096 skip=$n count=1 2> /dev/null | head -1 > /www/index.html
httpd -p 80 -h /www
