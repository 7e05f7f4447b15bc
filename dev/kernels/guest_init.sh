#!/bin/busybox sh
# First process of a guest: prepare a small system, run the script, switch off.
#
# The two marker lines are read by the host. Everything between them is the output of
# the script; the number in the second is its exit status.

/bin/busybox --install -s
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs -o mode=1777 tmpfs /tmp
exec </dev/null >/dev/console 2>&1

hostname guest
ip link set lo up
for module in $(cat /guest/modules); do
    modprobe "$module" || echo "no module $module"
done

echo "=== guest script begins ==="
cd /root && /bin/sh /guest/script
printf '\n=== guest script ended with %s ===\n' $?
poweroff -f
