hostname rhyp
read -r uptime rest < /proc/uptime
processor=$(sed -n 's/^cpu[[:space:]]*: //p;/^cpu/q' /proc/cpuinfo)
mmu=$(sed -n 's/^MMU[[:space:]]*: //p' /proc/cpuinfo)
memory=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
cat <<END

  Linux $(uname -r) on $(uname -m), in a Power partition of rhyp
  $(nproc) x $processor, ${mmu:-Hash} MMU, $((memory / 1024)) MiB, userland ${uptime} s after the kernel's start

  This is a root shell. "poweroff" ends the partition, "reboot" starts it again.

END
exec init
