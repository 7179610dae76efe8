# A machine of its own on this one, for commands that name the usual places: its processes, mounts, network and cgroups are
# private, and what it writes to /etc, /var, /root and the like goes to DIRECTORY. It ends with its first process.
# usage: sh machine.sh NAME DIRECTORY
# NAME is that of its cgroup; DIRECTORY has the home directory of root in disk/root, and there the script to run, .page.
# Ends with 77 where overlayfs does not take DIRECTORY.
set -eu
name=$1 dir=$2

hierarchies() {
	awk '$(NF - 2) ~ /^cgroup/ { print $5 }' /proc/self/mountinfo
}

enter_cgroup() {
	for point in $(hierarchies); do
		mkdir "$point/$name"
		for file in cpuset.cpus cpuset.mems; do
			# Those of version 1 begin empty, and take no process then.
			[ ! -e "$point/$name/$file" ] || [ -e "$point/cgroup.controllers" ] || cat "$point/$file" >"$point/$name/$file"
		done
		echo $$ >"$point/$name/cgroup.procs"
	done
}

# Its own cgroups are all that there are.
mount_cgroups() {
	points=$(hierarchies)
	mkdir "$dir/cgroup"
	mount -t tmpfs tmpfs "$dir/cgroup"
	for point in $points; do
		mkdir -p "$dir/cgroup$point"
		mount --bind "$point/$name" "$dir/cgroup$point"
	done
	umount -R -l /sys/fs/cgroup
	[ "$points" = /sys/fs/cgroup ] || mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
	for point in $points; do
		mkdir -p "$point"
		mount --move "$dir/cgroup$point" "$point"
	done
	umount "$dir/cgroup"
	[ -e /sys/fs/cgroup/cgroup.controllers ] || return 0
	# Version 2 wants no process where it hands controllers on (cgroups(7)).
	mkdir /sys/fs/cgroup/init
	echo $$ >/sys/fs/cgroup/init/cgroup.procs
	for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
		echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
	done
}

mount_places() {
	for place in /etc /var; do
		mkdir -p "$dir/upper$place" "$dir/work$place"
		mount -t overlay -o "lowerdir=$place,upperdir=$dir/upper$place,workdir=$dir/work$place" overlay "$place" || exit 77
	done
	for place in /var/lib/containerd /var/lib/docker /var/lib/containers /var/lib/stockade /root /home; do
		mkdir -p "$dir/disk$place" "$place"
		mount --bind "$dir/disk$place" "$place"
	done
	chmod 700 /var/lib/stockade
	rm -rf /etc/containerd /etc/docker /etc/containers/containers.conf /etc/containers/containers.conf.d /etc/crio /etc/stockade
	for place in /run /usr/local/bin; do
		mount -t tmpfs -o mode=755 tmpfs "$place"
	done
	if [ -e /dev/net/tun ]; then
		# For everybody, as where systemd is.
		mknod -m 666 "$dir/tun" c 10 200
		mount --bind "$dir/tun" /dev/net/tun
	fi
	mount -t tmpfs -o mode=1777 tmpfs /tmp
	mount --make-rshared /
}

case ${3:-outside} in
outside)
	enter_cgroup
	exec unshare --cgroup --mount --propagation private sh "$0" "$name" "$dir" cgroups
	;;
cgroups)
	mount_cgroups
	exec unshare --pid --fork --kill-child --net --uts --ipc sh "$0" "$name" "$dir" inside
	;;
inside)
	mount -t proc proc /proc
	ip link set lo up
	hostname machine
	mount_places
	cd /root
	exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root USER=root LANG=C.UTF-8 \
		bash .page
	;;
esac
