#!/bin/bash
# build-tiny.sh OUT CACHE: makes the tiny guest image (kernel, initrd, 64 MiB root disk: busybox and dropbear) out of
# Debian or Ubuntu packages. Installs nothing, mounts nothing, needs no root. Result, all files read-only:
#   OUT/tiny-DIGEST/{vmlinuz,initrd.img,disk.qcow2,image.json}
# CACHE keeps the downloaded packages; stamps in OUT let a second run with nothing changed end at once.
# Needs: apt, dpkg-deb, cpio, mke2fs, qemu-img, and fakeroot when not run as root.
set -euo pipefail
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
umask 022

[ $# = 2 ] || { echo "usage: build-tiny.sh OUT CACHE" >&2; exit 2; }
mkdir -p "$1" "$2"
out=$(cd "$1" && pwd) cache=$(cd "$2" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
disk_size=64M
append='console=ttyS0 root=/dev/vda quiet cryptomgr.notests no_timer_check'
min_memory=96

say() { echo "image: $*"; }
fail() { echo "image: $*" >&2; exit 1; }
digest_of() { sha256sum | cut -c1-64; }

# ---- Is there anything to do?
complete() { for file in vmlinuz initrd.img disk.qcow2 image.json; do [ -s "$1/$file" ] || return 1; done; }
stamped() { # stamped STAMP: prints the folder that an earlier run made from the same input
  local name
  name=$(cat "$out/.$1" 2>/dev/null) && [ -n "$name" ] && complete "$out/$name" && echo "$out/$name"
}
scripts_digest=$(cd "$here" && find build-tiny.sh initrd-init guest -type f -print0 | sort -z | xargs -0 sha256sum | digest_of)
# Asking apt takes a second; as long as its lists are the same files, so is its answer.
lists_digest=$( { echo "$scripts_digest"; stat -c '%n %Y %s' /var/lib/apt/lists/*Packages* 2>/dev/null || true; } | digest_of)
quick_stamp=lists-${lists_digest:0:16}
if folder=$(stamped "$quick_stamp"); then say "unchanged: $folder"; exit 0; fi

for tool in apt-get dpkg-deb cpio mke2fs qemu-img flock; do
  command -v "$tool" >/dev/null || fail "'$tool' is missing; install apt, dpkg, cpio, e2fsprogs, qemu-utils and util-linux"
done
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v fakeroot >/dev/null || fail "'fakeroot' is missing (or run as root)"
  as_root=(fakeroot)
fi
[ "$(dpkg --print-architecture)" = amd64 ] || fail "only amd64 machines can make this image"
exec 9> "$cache/lock"
flock -n 9 || { say "waiting for another build"; flock 9; }
if folder=$(stamped "$quick_stamp"); then say "unchanged: $folder"; exit 0; fi

# ---- Packages: which, in which version, with which checksum
kernel_packages() {
  local meta image
  for meta in linux-image-cloud-amd64 linux-image-virtual linux-image-amd64; do
    image=$(apt-cache depends "$meta" 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ { print $2; exit }')
    [ -n "$image" ] || continue
    echo "$image"
    # Ubuntu ships the modules in a package of their own.
    apt-cache depends "$image" | awk '$1 == "Depends:" && $2 ~ /^linux-modules-[0-9]/ { print $2 }'
    return
  done
}
closure() { # a package and all that it needs; virtual packages come as <name>
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$1" |
    grep -E '^[a-z0-9]' || true
}
resolve() { # lines: package version architecture sha256
  local kernel
  kernel=$(kernel_packages)
  [ -n "$kernel" ] || return 0
  { echo "$kernel"; echo busybox-static; closure dropbear-bin; } | sort -u |
    xargs apt-cache show --no-all-versions |
    awk '$1 == "Package:" { p = $2 } $1 == "Version:" { v = $2 } $1 == "Architecture:" { a = $2 } $1 == "SHA256:" { print p, v, a, $2 }' |
    sort -u
}
packages=$(resolve)
if [ -z "$packages" ] && [ "$(id -u)" = 0 ]; then
  say "apt knows no packages, updating its lists"
  apt-get -qq update
  packages=$(resolve)
fi
[ -n "$packages" ] || fail "apt knows no kernel package: run 'sudo apt-get update' first"
inputs_digest=$(printf '%s\n' "$scripts_digest" "$packages" | digest_of)
stamp=inputs-${inputs_digest:0:16}
keep() { # keep FOLDER: remembers it as the answer to this input
  basename "$1" > "$out/.$stamp"
  basename "$1" > "$out/.$quick_stamp"
}
if folder=$(stamped "$stamp"); then keep "$folder"; say "unchanged: $folder"; exit 0; fi

work=$(mktemp -d "$out/.tiny-XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT

# ---- Download and unpack. apt checks what it downloads; what lies in the cache is checked here.
intact() { [ -f "$1" ] && [ "$(sha256sum "$1" | cut -c1-64)" = "$2" ]; }
fetched=0 total=0
while read -r package version architecture sum; do
  total=$((total + 1))
  deb=$cache/${package}_${version//:/%3a}_$architecture.deb
  if ! intact "$deb" "$sum"; then
    [ -e "$deb" ] && say "$package: the cached file is damaged, fetching it again"
    rm -f "$deb"
    fetched=$((fetched + 1))
    say "fetching $package $version"
    # As root apt would drop to the user _apt, who may not write to the cache.
    (cd "$cache" && apt-get -qq -o APT::Sandbox::User=root download "$package=$version" >"$work/apt.log" 2>&1 9>&-) ||
      { cat "$work/apt.log" >&2; fail "cannot download $package"; }
    intact "$deb" "$sum" || { rm -f "$deb"; fail "$package: not the file that apt's lists promise"; }
  fi
  dpkg-deb -x "$deb" "$work/packages"
done <<< "$packages"
say "$total packages, $fetched fetched"

tree=$work/packages
busybox=$(find "$tree" -path '*/bin/busybox' -type f -print -quit)
modules=$(find "$tree" -path '*/lib/modules/*/kernel' -type d -print -quit)
for part in "$busybox" "$modules"; do [ -n "$part" ] || fail "a package does not hold what was expected of it"; done
kernel=$(find "$tree/boot" -name 'vmlinuz-*' -print -quit)
image=$work/image
mkdir "$image"
cp "$kernel" "$image/vmlinuz"

# ---- initrd: busybox and the modules that a QEMU guest needs, in an order in which plain insmod takes them
# (virtio_ring comes before virtio: the other way round every driver fails with unknown symbols).
module_names=(
  drivers/virtio/virtio_ring drivers/virtio/virtio drivers/virtio/virtio_pci_modern_dev drivers/virtio/virtio_pci_legacy_dev
  drivers/virtio/virtio_pci drivers/block/virtio_blk net/core/failover drivers/net/net_failover drivers/net/virtio_net
  drivers/char/hw_random/virtio-rng drivers/virtio/virtio_balloon drivers/misc/pvpanic/pvpanic
  drivers/misc/pvpanic/pvpanic-pci drivers/acpi/button drivers/cdrom/cdrom fs/isofs/isofs drivers/input/evdev
  lib/crc16 fs/jbd2/jbd2 fs/mbcache fs/ext4/ext4
)
initrd=$work/initrd
mkdir -p "$initrd"/{bin,proc,sys,dev,newroot,modules}
cp "$busybox" "$initrd/bin/busybox"
install -m 755 "$here/initrd-init" "$initrd/init"
number=10
for name in "${module_names[@]}"; do
  target=$initrd/modules/$number-$(basename "$name").ko
  # Absent means built in.
  if [ -f "$modules/$name.ko" ]; then cp "$modules/$name.ko" "$target"
  elif [ -f "$modules/$name.ko.xz" ]; then xz -dc "$modules/$name.ko.xz" > "$target"
  elif [ -f "$modules/$name.ko.zst" ]; then zstd -dqc "$modules/$name.ko.zst" > "$target"
  else continue; fi
  number=$((number + 1))
done
find "$initrd" -exec touch -h -d @0 {} +
(cd "$initrd" && find . -print0 | sort -z | cpio --null -o -H newc -R 0:0 --reproducible --quiet) > "$image/initrd.img"

# ---- Root file system
root=$work/root
mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,lib,lib64,etc/dropbear,root/.ssh,tmp,var/log,var/lib/cloud,proc,sys,dev,run,mnt}
cp "$busybox" "$root/bin/busybox"
applets=$("$busybox" --list-full)
for applet in $applets; do
  [ "$applet" = linuxrc ] && continue
  mkdir -p "$root/$(dirname "$applet")"
  [ -e "$root/$applet" ] || ln -s /bin/busybox "$root/$applet"
done
for program in dropbear dropbearkey dbclient; do
  file=$(find "$tree/usr" -name "$program" -type f -print -quit)
  cp "$file" "$root/${file#"$tree/"}"
done
ln -s dbclient "$root/usr/bin/ssh"
# The loader itself says which libraries the programs want: their packages differ between releases.
loader=$(find "$tree" -name ld-linux-x86-64.so.2 -print -quit)
libraries=$(find "$tree" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
for program in "$root"/usr/{sbin/dropbear,bin/dropbearkey,bin/dbclient}; do
  "$loader" --inhibit-cache --library-path "$libraries" --list "$program" | awk '$2 == "=>" { print $1, $3 }'
done | sort -u | while read -r name path; do
  case $path in "$tree"/*) ;; *) fail "$name was not found in the packages" ;; esac
  [ "$name" = ld-linux-x86-64.so.2 ] || [ "$name" = /lib64/ld-linux-x86-64.so.2 ] || cp -L "$path" "$root/lib/$name"
done
cp -L "$loader" "$root/lib64/ld-linux-x86-64.so.2"
cp -R "$here/guest/." "$root/"
chmod -R u=rwX,go=rX "$root"
chmod 755 "$root"/etc/init.d/* "$root"/etc/acpi/PWRF/* "$root/etc/udhcpc.script" "$root/usr/sbin/tiny-init"
chmod 700 "$root/root" "$root/root/.ssh"
chmod 600 "$root/etc/shadow"
chmod 1777 "$root/tmp"
find "$root" -exec touch -h -d @0 {} +
say "making the disk"
truncate -s "$disk_size" "$work/disk.raw"
make_disk='chown -R 0:0 "$1" && mke2fs -q -t ext4 -L root -m 0 -d "$1" -E root_owner=0:0,lazy_itable_init=1 "$2"'
"${as_root[@]}" bash -c "$make_disk" - "$root" "$work/disk.raw"
qemu-img convert -f raw -O qcow2 "$work/disk.raw" "$image/disk.qcow2"

# ---- Manifest, then the whole folder appears at once
digest=$(cd "$image" && sha256sum vmlinuz initrd.img disk.qcow2 | digest_of)
. /etc/os-release
cat > "$image/image.json" <<JSON
{
  "name": "tiny",
  "digest": "sha256:$digest",
  "architecture": "x86_64",
  "virtualSize": $(stat -c %s "$work/disk.raw"),
  "minMemoryMiB": $min_memory,
  "os": {
    "kernel": "linux",
    "family": "debian",
    "distro": "${ID:-debian}",
    "version": "${VERSION_ID:-unknown}",
    "codename": "${VERSION_CODENAME:-unknown}",
    "variant": "tiny"
  },
  "files": { "kernel": "vmlinuz", "initrd": "initrd.img", "disk": "disk.qcow2" },
  "append": "$append",
  "created": "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
}
JSON
chmod 444 "$image"/*
folder=$out/tiny-${digest:0:12}
# An image with this digest has this content, so the one that is there stays.
complete "$folder" || { rm -rf --one-file-system "$folder"; mv -T "$image" "$folder"; }
keep "$folder"
say "made $folder in $SECONDS s ($(du -sk "$folder" | cut -f1) KiB)"
