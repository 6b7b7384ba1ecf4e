#!/bin/sh
# fetch.sh SUITE DIRECTORY   puts the QEMU of another Debian release below DIRECTORY with all that it loads, so
# that it runs beside the host's own, and prints the path of its binary.
# SUITE: trixie, bookworm-backports, ...; DIRECTORY: below /usr, for VMs see nothing else of the host.
# Needs root, mmdebstrap, patchelf, and the mirror that the host's apt has.
set -eu
suite=$1
directory=$2
release=${suite%-backports}
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/$')

set -- "deb $mirror $release main"
[ "$suite" = "$release" ] || set -- "$@" "deb $mirror $suite main"
mkdir -p "$directory"
mmdebstrap --quiet --variant=extract --aptopt="APT::Default-Release \"$suite\"" \
  --include=qemu-system-x86,seabios,libc6 "$release" "$directory" "$@" >&2

# Its own loader and libraries, also for what those load and for QEMU's modules, which are found beside the binary.
libraries=$directory/usr/lib/x86_64-linux-gnu
binary=$directory/usr/bin/qemu-system-x86_64
loader=$(find "$directory" -name ld-linux-x86-64.so.2 -type f | head -n 1)
patchelf --set-interpreter "$loader" --force-rpath \
  --set-rpath "$libraries:$libraries/pulseaudio" "$binary"
"$binary" --version >&2
echo "$binary"
