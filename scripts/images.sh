#!/usr/bin/env bash
# make images: the base images of the demo and the tests, as local tags releasekit-base/…
#
# Official images where a registry answers. Where none does (a closed network, a CI sandbox) the same
# ones are made from Debian packages: mmdebstrap unpacks them without running a maintainer script,
# which is why it takes seconds, and why images/*/finish does what those would have done.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=lib.sh
. ./lib.sh

prefix=releasekit-base
probe_s=8     # a registry that is there answers in one
pull_s=600    # a slow line still gets its images

table() { grep -vE '^\s*(#|$)' images/table; }

missing() {
    local present image rest
    present=$(docker image ls --format '{{.Repository}}:{{.Tag}}' "$prefix/*")
    while read -r image rest; do
        grep -qxF "$prefix/$image" <<<"$present" || printf '%s %s\n' "$image" "$rest"
    done < <(table)
}

# Asked through the engine, since its mirrors and its proxy count, not ours.
registry_answers() {
    timeout "$probe_s" docker pull --quiet hello-world &>/dev/null || return 1
    docker image rm hello-world >/dev/null
}

pull() { # IMAGE OFFICIAL
    local name=${1%%:*}
    timeout "$pull_s" docker pull --quiet "$2" >/dev/null || return 1
    if [[ -f images/$name/Dockerfile ]]; then
        docker build --quiet --build-arg "BASE=$2" --tag "$prefix/$1" "images/$name" >/dev/null
    else
        docker tag "$2" "$prefix/$1"
    fi
}

assemble() { # NAME TREE
    local part
    for part in common "$1"; do
        [[ ! -d images/$part/rootfs ]] || cp -R "images/$part/rootfs/." "$2"
        chroot "$2" /bin/busybox sh -s <"images/$part/finish"
    done
}

build() { # IMAGE SUITE PACKAGES
    local image=$1 suite=$2 packages=$3 name=${1%%:*} mirror line options=() changes=()
    mirror=$(debian_mirror)
    # mmdebstrap brings its own apt, which does not know how this machine gets to the mirror.
    while read -r line; do
        options+=(--aptopt="$line")
    done < <(apt-config dump Acquire::http Acquire::https | grep -Ei 'proxy|verify|cainfo')
    while read -r line; do changes+=(--change "$line"); done <"images/$name/config"

    say "making $image from Debian $suite"
    tmp=$(mktemp -d)
    trap 'rm -rf "$tmp"' EXIT
    # Check-Valid-Until: the mirror may be a snapshot. Not piped into the import, which would tag what a
    # failed build left.
    mmdebstrap --quiet --variant=extract \
        --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
        --keyring="$debian_keyring" --aptopt='Acquire::Check-Valid-Until "false"' \
        --include="base-files,busybox,libc-bin,$packages" \
        --extract-hook="\"$PWD/images.sh\" --assemble $name \"\$1\"" "${options[@]}" \
        "$suite" "$tmp/tree.tar" "deb $mirror $suite main" &>"$tmp/log" ||
        { cat "$tmp/log" >&2 && return 1; }
    docker import "${changes[@]}" "$tmp/tree.tar" "$prefix/$image" >/dev/null
}

case ${1:-} in
--build) build "$2" "$4" "$5"; exit ;; # IMAGE OFFICIAL SUITE PACKAGES, from the last line below
--assemble) assemble "$2" "$3"; exit ;; # from mmdebstrap
esac

todo=$(missing)
[[ -n $todo ]] || exit 0

if registry_answers; then
    while read -r image official _; do
        pull "$image" "$official" || break # a rate limit, say: do not wait for the rest to fail too
    done <<<"$todo"
    todo=$(missing)
    [[ -n $todo ]] || exit 0
fi

# The mirror's name comes with apt's lists, which a fresh machine lacks; so it is updated for both.
if ! command -v mmdebstrap >/dev/null || ! debian_mirror >/dev/null; then apt_install mmdebstrap; fi
debian_mirror >/dev/null || die 'no registry answers, and apt knows no Debian mirror to make the images from'
xargs --max-procs=2 --max-lines=1 "$PWD/images.sh" --build <<<"$todo"
