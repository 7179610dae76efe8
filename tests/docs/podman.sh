# A user, as on any system, with the directory that a session makes.
useradd --create-home --shell /bin/bash anna
install -d -m 755 /run/user
install -d -o anna -g anna -m 700 "/run/user/$(id -u anna)"
cp images.tar /tmp

as() {
	user=$1
	shift
	setpriv --reuid "$user" --regid "$user" --init-groups --reset-env \
		sh -c 'cd && XDG_RUNTIME_DIR=/run/user/$(id -u) exec "$@"' sh "$@"
}
