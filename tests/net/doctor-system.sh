#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# check: when=quick limit=240
# What doctor says of the machine itself, bad and good: loaders, clock, disk, limits, FUSE,
# confinement, an interface.  In mount namespaces of its own, other files lie over those of
# /proc, /sys and /dev; what no file tells is told by strace in the kernel's place.
set -euo pipefail
# shellcheck source=tests/lib/doctor.sh
. "$(dirname "$0")/../lib/doctor.sh"

need_root
for tool in strace setpriv prlimit; do
	command -v $tool >/dev/null || skip "$tool is not installed"
done
net_up
server_state
"$rootstock" host add "$doctor_mac" --name north >/dev/null

# look PREPARE ARGS...: doctor, where PREPARE was done before, by way of ${under[@]}.
look() {
	local prepare=$1
	shift
	doctor_status=0
	unshare -m bash -euc "$prepare"$'\nexec "$@"' look "${under[@]}" "$rootstock" doctor "$@" \
		>"$work/doctor" 2>"$work/doctor.err" || doctor_status=$?
}

# says LEVEL ABOUT TEXT [REMEDY]: the last doctor did, with that remedy, or without any.
says() {
	local found
	found=$(grep -m1 -A1 "^$1  *$2  *$3" "$work/doctor") ||
		fail "not said: $1 $2 $3: $(cat "$work/doctor" "$work/doctor.err")"
	equal "the remedy of: $3" "${4-}" "$(sed -n '2s/^ *-> //p' <<<"$found")"
}

export work
under=()
# A sanitizer looks for leaks by ptrace, which is strace's: it would end what it cannot look at.
untraced=(env "ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0")
mkdir "$work"/{files,tiny,loaders,empty,dev}
touch "$work/dev/null" "$work"/loaders/{pxelinux.0,ldlinux.c32,bootx64.efi,grubx64.efi}
printf '[server]\nloaders = %s\n' "$work/loaders" >"$work/good.conf"
printf '[server]\nloaders = %s\n' "$work/empty" >"$work/bad.conf"
printf '[server]\nloaders = %s\n' "$work/nowhere" >"$work/worse.conf"

# lay TEXT FILE: FILE says TEXT.
# shellcheck disable=SC2016 # all of these are for the shell in the namespace
lay='lay() { echo "$1" >"$work/files/${2//\//-}"; mount --bind "$work/files/${2//\//-}" "$2"; }'
# shellcheck disable=SC2016
sys='mount -t tmpfs none /sys/fs; mkdir /sys/fs/selinux; echo $selinux >/sys/fs/selinux/enforce
mount -t tmpfs none /sys/kernel/security; mkdir /sys/kernel/security/apparmor
echo "/usr/bin/rootstock ($apparmor)" >/sys/kernel/security/apparmor/profiles'
thresh=/proc/sys/net/ipv4/neigh/default/gc_thresh3
rmem=/proc/sys/net/core/rmem_max

# All is well.
under=("${untraced[@]}" prlimit --nofile=16384:16384 strace -qq -o /dev/null -e "trace=adjtimex,clock_adjtime"
	-e inject="adjtimex,clock_adjtime":retval=0)
look "$lay; lay 66 $thresh; lay 4194304 $rmem; selinux=0 apparmor=complain; $sys" \
	--config "$work/good.conf"
says ok loaders "for BIOS and 64-bit UEFI are here"
says ok clock "synchronised"
says ok limits "the table of neighbours has room for 66"
says ok limits "each process of a server that is started from here may have 16384 descr"
says ok limits "a socket may hold 4096 KiB"
says ok confinement "neither SELinux nor AppArmor is in the way"
if [[ -e /dev/fuse ]]; then
	says ok fuse "/dev/fuse is there"
fi

# Nothing is.  (TIME_ERROR is 5.)
under=("${untraced[@]}" strace -qq -o /dev/null -e "trace=adjtimex,clock_adjtime"
	-e inject="adjtimex,clock_adjtime":retval=5 prlimit --nofile=1000:1000)
# shellcheck disable=SC2016
look "$lay; lay 64 $thresh; lay 212992 $rmem; selinux=1 apparmor=enforce; $sys"'
	for dir in /usr/lib/{PXELINUX,syslinux,SYSLINUX.EFI,grub,shim,ipxe}; do
		[[ ! -d $dir ]] || mount -t tmpfs none "$dir"
	done
	mount --bind /dev/null "$work/dev/null"
	mount --rbind "$work/dev" /dev' --config "$work/bad.conf"
says warn loaders "pxelinux.0 is not here: machines with a BIOS" "apt-get install pxelinux"
says warn loaders "ldlinux.c32 is not here" "apt-get install syslinux-common"
says warn loaders "bootx64.efi is not here: 64-bit UEFI" "apt-get install shim-signed"
says warn loaders "grubx64.efi is not here" "apt-get install grub-efi-amd64-signed"
says warn clock "nothing keeps it right" \
	"apt-get install systemd-timesyncd; timedatectl set-ntp true"
says error limits "the table of neighbours has room for 64, and 1 machines are registered" \
	"sysctl -w net.ipv4.neigh.default.gc_thresh2=1026 net.ipv4.neigh.default.gc_thresh3=2052"
says warn limits "each process of a server that is started from here may have 1000 descr" \
	"LimitNOFILE=65536 in the unit, or ulimit -Hn 65536 before serve"
says ok limits "a socket may hold 208 KiB, but the server's, by root's privilege, hold 4096 KiB"
says warn fuse "/dev/fuse: No such file" "modprobe fuse"
says warn selinux "SELinux is enforcing" \
	"ausearch -m avc -c rootstock | audit2allow -M rootstock; semodule -i rootstock.pp"
says warn apparmor "a profile of AppArmor confines rootstock" "aa-complain rootstock"

under=(setpriv --bounding-set=-net_admin --inh-caps=-net_admin)
look "$lay; lay 212992 $rmem" --config "$work/worse.conf"
says warn limits "a socket may hold 208 KiB, and root may not have more here" \
	"sysctl -w net.core.rmem_max=4194304"
says error loaders "loader folder $work/nowhere: No such file" \
	"mend loaders = in /etc/rootstock.conf"

# A clock of before this program was made.
under=()
cp "$rootstock" "$work/later"
touch -d "2 days" "$work/later"
rootstock=$work/later look :
says error clock "the clock is far off" "timedatectl set-ntp true"

# The disk.
disk_of() {
	ROOTSTOCK_STATE=$work/tiny look "mount -t tmpfs -o $1 none $work/tiny"
}
prune="df -h $work/tiny; rootstock image prune NAME --keep 2"
disk_of size=2g
says ok disk "$work/tiny: 2048 MiB are free"
disk_of size=500m
says warn disk "$work/tiny: 500 MiB are free" "$prune"
disk_of size=32m
says error disk "$work/tiny: 32 MiB are free" "$prune"
# shellcheck disable=SC2016
disk_of size=2g,nr_inodes=100' none $work/tiny; touch $work/tiny/{1..97}; :'
says warn disk "$work/tiny: 2 of 100 inodes are free" "df -i; rootstock image prune NAME --keep 2"
disk_of ro,size=2g
remount="mount -o remount,rw \$(findmnt -no TARGET -T $work/tiny)"
says error disk "$work/tiny is on a file system that is mounted read-only" "$remount"
disk_of "ro,size=2g none $work/tiny; $remount; :"
says ok disk "$work/tiny: 2048 MiB are free"
under=("${untraced[@]}" strace -qq -o /dev/null -e trace=statfs -e inject=statfs:error=EIO)
look :
says error disk "$ROOTSTOCK_STATE: Input/output error" "findmnt -T $ROOTSTOCK_STATE; dmesg | tail"

# A server that runs has limits of its own, whatever ours are.
spawn serve nsenter --net="/run/netns/$net_ns" prlimit --nofile=4000:4000 \
	"$rootstock" serve --interface br0
server_pid=$spawned
wait_for 30 "serve to listen" server_listens tcp 2049
wait_for 30 "the server to answer" doctor_all_answer
under=()
look :
says warn limits "each process of the server may have 4000 descriptors" \
	"LimitNOFILE=65536 in the unit, or ulimit -Hn 65536 before serve"
stop "$server_pid"

# An interface, mended by what is said, step by step.
under=(nsenter --net="/run/netns/$net_ns")
mend() {
	local remedy
	remedy=$(grep -A1 "^$1  *interface" "$work/doctor" | sed -n '2s/^ *-> //p')
	net_run sh -c "$remedy" >/dev/null || fail "the remedy is no command: $remedy"
}
net_run ip link add wire type veth peer name end
look : --interface wire
says error interface "wire: is down" "ip link set wire up"
mend error
look : --interface wire
says error interface "wire: .*no IPv4 address" "ip address add 10.0.0.1/24 dev wire"
mend error
look : --interface wire
says warn interface "wire: 10.0.0.1, but no link" "ip link show wire  # is its cable plugged in?"
mend warn
net_run ip link set end up
is_up() {
	look : --interface wire
	grep -q "^ok  *interface  *wire: up, 10.0.0.1/24" "$work/doctor"
}
wait_for 10 "wire to be up" is_up
says ok dhcp "wire: no other DHCP server answers"
under+=(setpriv --bounding-set=-net_raw --inh-caps=-net_raw)
look : --interface wire
says warn dhcp "other DHCP servers cannot be looked for: wire: packet socket" \
	"rootstock doctor --interface wire  # outside of this container, with CAP_NET_RAW"
