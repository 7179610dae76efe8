# Removes what containers have left. Standard input has a line `ID DIRECTORY` for each, and comes to its end with the test, or
# with the process of all tests if that is killed. The id is in the path of their cgroups, the directory has all else of them.
# Neither is among this script's arguments: the processes that have one there are ended.
cgroups() {
	for hierarchy in $(awk '$(NF - 2) ~ /^cgroup/ { print $5 }' /proc/self/mountinfo); do
		find "$hierarchy" -depth -type d -path "*$1*" 2>/dev/null
	done
}

end_processes() {
	printf '%s\n%s\n' "$1" "$2" >"$words"
	for file in $(grep -lsaF -f "$words" /proc/[0-9]*/cmdline /proc/[0-9]*/cgroup); do
		pid=${file#/proc/}
		pid=${pid%%/*}
		[ "$pid" = $$ ] || kill -9 "$pid" 2>/dev/null
	done
}

thaw() {
	for cgroup in $(cgroups "$1"); do
		[ ! -e "$cgroup/freezer.state" ] || echo THAWED >"$cgroup/freezer.state"
		[ ! -e "$cgroup/cgroup.freeze" ] || echo 0 >"$cgroup/cgroup.freeze"
	done
}

words=$(mktemp)
trap 'rm -f "$words"' EXIT
lines=$(cat)
printf '%s\n' "$lines" | while read -r id dir; do
	[ -d "$dir" ] || continue
	end_processes "$id" "$dir"
	thaw "$id"
	awk '{ print $5 }' /proc/self/mountinfo | grep -F "$dir" | sort -r | xargs -r umount -l
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ -n "$(cgroups "$id")" ] || break
		cgroups "$id" | xargs rmdir 2>/dev/null || sleep 0.2
	done
	rm -rf --one-file-system "$dir"
done
