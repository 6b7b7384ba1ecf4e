#!/bin/sh
# Runs envd as in a sandbox, in the namespaces that the caller made: with the users that a sandbox
# has, and with an /etc, /home, /run and /tmp of its own. Stays in front of it as a small init.
#
# usage: enclosure.sh ENVD [ARGUMENT...]
# ENVD_TEST_CHROOT: an empty root for tests of the file system itself.
# ENVD_TEST_ROOT: the disk image of template `base`, or a directory like it, to work on (nothing in it
# is changed); without it, this machine.
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
cp "$1" /mnt/envd
shift
if [ -n "${ENVD_TEST_CHROOT:-}" ]; then
  mkdir -p "$ENVD_TEST_CHROOT/etc" "$ENVD_TEST_CHROOT/proc"
  echo 'root:x:0:0::/:/bin/sh' >"$ENVD_TEST_CHROOT/etc/passwd"
  mount -t proc proc "$ENVD_TEST_CHROOT/proc"
  # The program itself is not on the file system: a frozen one can still run it.
  mkdir -p "$ENVD_TEST_CHROOT/run"
  mount -t tmpfs tmpfs "$ENVD_TEST_CHROOT/run"
  cp /mnt/envd "$ENVD_TEST_CHROOT/run/envd"
  chroot "$ENVD_TEST_CHROOT" /run/envd "$@" &
  wait $!
  exit
fi
if [ -n "${ENVD_TEST_ROOT:-}" ]; then
  mkdir /mnt/base /mnt/upper /mnt/scratch /mnt/root
  if [ -d "$ENVD_TEST_ROOT" ]; then
    mount --bind "$ENVD_TEST_ROOT" /mnt/base
  else
    # Gone with the last process of these namespaces, the loop device too.
    mount -t ext4 -o ro,noload,loop "$ENVD_TEST_ROOT" /mnt/base
  fi
  mount -t overlay overlay -o "lowerdir=/mnt/base,upperdir=/mnt/upper,workdir=/mnt/scratch" /mnt/root
  # Devices of its own: whatever a test removes, it is not this machine's.
  mount -t tmpfs tmpfs /mnt/root/dev
  for device in null zero full random urandom tty kmsg; do cp -a "/dev/$device" /mnt/root/dev; done
  mkdir /mnt/root/dev/pts /mnt/root/dev/shm
  mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts /mnt/root/dev/pts
  mount -t tmpfs tmpfs /mnt/root/dev/shm
  ln -s pts/ptmx /mnt/root/dev/ptmx
  ln -s /proc/self/fd /mnt/root/dev/fd
  mount -t proc proc /mnt/root/proc
  mount -t sysfs -o ro sysfs /mnt/root/sys
  mount -t tmpfs tmpfs /mnt/root/sys/fs/cgroup
  [ -z "${ENVD_TEST_CGROUP:-}" ] || mount --bind "$ENVD_TEST_CGROUP" /mnt/root/sys/fs/cgroup
  cp /mnt/envd /mnt/root/run/envd
  set -- chroot /mnt/root /run/envd "$@"
  etc=/mnt/root/etc home=/mnt/root/home tmp=/mnt/root/tmp
else
  cp -a /etc /mnt/etc
  mount --bind /mnt/etc /etc
  mount -t tmpfs tmpfs /home
  mount -t tmpfs tmpfs /run
  mount -t proc proc /proc
  # A cgroup is named from outside; inside it has the place that it has in a sandbox.
  if [ -n "${ENVD_TEST_CGROUP:-}" ]; then
    mkdir /mnt/cgroup
    mount --bind "$ENVD_TEST_CGROUP" /mnt/cgroup
    mount --bind /mnt/cgroup /sys/fs/cgroup
  fi
  set -- /mnt/envd "$@"
  etc=/etc home=/home tmp=/tmp
fi
mount -t tmpfs tmpfs "$tmp"
chmod 1777 "$tmp"
if ! grep -q ^user: "$etc/passwd"; then
  echo 'user:x:60123:60123::/home/user:/bin/bash' >>"$etc/passwd"
  echo 'user:x:60123:' >>"$etc/group"
fi
sed -i 's/^\(games:x:[0-9]*:\).*/\1user/' "$etc/group"
mkdir -p "$home/user"
chown "$(grep ^user: "$etc/passwd" | cut -d: -f3,4)" "$home/user"
"$@" &
wait $!
