#!/bin/sh
# As in the official image: options alone mean redis-server, never as root, and other containers may
# connect without a password (there protected-mode is patched out; here it is an argument).
set -eu
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then set -- redis-server "$@"; fi
[ "$1" = redis-server ] || exec "$@"
set -- "$@" --protected-mode no
[ "$(id -u)" != 0 ] || set -- setpriv --reuid=redis --regid=redis --init-groups -- "$@"
exec "$@"
