#!/usr/bin/env bash
# make engine: a Docker engine that answers, and a Compose that is new enough.
#
# What is there is used as it is. What is missing is installed where that is safe to do unasked: as
# root on Debian or Ubuntu, from the distribution's own packages.
set -euo pipefail
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

compose_min=2.24
engine_min=24       # of what we install; an engine that answers already is good enough
newer_suite=trixie  # the first Debian to have both; they run with the libc of Debian 12
start_s=60
log=/var/log/releasekit-dockerd.log

engine_answers() { docker version --format '{{.Server.Version}}' &>/dev/null; }
compose_version() { docker compose version --short 2>/dev/null | sed 's/^v//'; }
compose_answers() { version_at_least "$compose_min" "$(compose_version)"; }

by_hand() { # WHY
    die "$1
Please install and start Docker Engine with the Compose plugin, version $compose_min or newer, so that
\`docker version\` and \`docker compose version\` answer for this user: Docker Desktop on a Mac, the packages
of the distribution or of Docker on Linux, where the user also needs to be in the group docker. On Debian
and Ubuntu \`make engine\` does all of it when run as root."
}

# --- install ------------------------------------------------------------------------------------------

apt_options=()

candidate() { # PACKAGE -> the version that apt would install, without the epoch; nothing if none
    apt-cache "${apt_options[@]}" policy "$1" 2>/dev/null |
        sed -nE 's/^ *Candidate: ([0-9]+:)?([0-9].*)/\2/p'
}

compose_package() { # Ubuntu keeps the name docker-compose for version 1
    local package
    for package in docker-compose-v2 docker-compose; do
        if version_at_least "$compose_min" "$(candidate $package)"; then
            echo $package
            return
        fi
    done
    return 1
}

new_enough() { version_at_least "$engine_min" "$(candidate docker.io)" && compose_package >/dev/null; }

update() { # A third-party source that fails is none of our business: the install will tell.
    apt-get "${apt_options[@]}" --quiet update >&2 || say 'apt-get update had errors, going on'
}

# For this run apt gets a copy of its settings with one source more. The machine's own stay as they
# are, and only Docker's packages come from there: the next `apt upgrade` upgrades nothing by surprise.
add_newer_suite() {
    local mirror
    mirror=$(debian_mirror) || by_hand 'The Docker packages of this distribution are too old.'
    apt_dir=$(mktemp -d)
    trap 'rm -rf "$apt_dir"' EXIT
    chmod 0755 "$apt_dir" # apt downloads as a user of its own
    cp -r /etc/apt "$apt_dir/etc"
    mkdir -p "$apt_dir"/{etc/preferences.d,etc/sources.list.d,lists/partial}
    echo "deb [signed-by=$debian_keyring] $mirror $newer_suite main" \
        >"$apt_dir/etc/sources.list.d/releasekit.list"
    cat >"$apt_dir/etc/preferences.d/00-releasekit" <<-END
	Package: docker* containerd
	Pin: release n=$newer_suite
	Pin-Priority: 990

	Package: *
	Pin: release n=$newer_suite
	Pin-Priority: 50
	END
    apt_options=(-o "Dir::Etc=$apt_dir/etc" -o "Dir::State::Lists=$apt_dir/lists")
    update
}

install_missing() {
    local packages=()
    say 'installing Docker from the packages of the distribution'
    export DEBIAN_FRONTEND=noninteractive
    update
    new_enough || add_newer_suite
    new_enough || by_hand 'The Docker packages of this distribution are too old.'

    engine_answers || command -v dockerd >/dev/null || packages+=(docker.io)
    # Part of docker.io in some releases, and beside it in others.
    command -v docker >/dev/null || [[ -z $(candidate docker-cli) ]] || packages+=(docker-cli)
    compose_answers || packages+=("$(compose_package)")
    docker buildx version &>/dev/null || [[ -z $(candidate docker-buildx) ]] || packages+=(docker-buildx)
    [[ ${#packages[@]} == 0 ]] ||
        apt-get "${apt_options[@]}" --quiet --yes --no-install-recommends install "${packages[@]}" >&2
}

# --- start --------------------------------------------------------------------------------------------

# After an unclean stop the number in a pid file may belong to anything, a zombie included (which has
# no exe), and dockerd would take that for a dockerd or containerd that runs.
running() { # PROGRAM PIDFILE
    local pid
    pid=$(cat "$2" 2>/dev/null) && [[ -e /proc/$pid/exe && $(cat "/proc/$pid/comm") == "$1" ]]
}

start_by_systemd() {
    systemctl start docker && wait_until_it_answers && return
    journalctl --unit docker --lines 20 --no-pager >&2 || :
    return 1
}

start_by_itself() {
    local from=0
    if ! running dockerd /var/run/docker.pid; then
        rm -f /var/run/docker.pid
        running containerd /var/run/docker/containerd/containerd.pid ||
            rm -f /var/run/docker/containerd/containerd.pid
        [[ ! -f $log ]] || from=$(stat --format %s "$log")
        # A session of its own: it outlives make, and Ctrl-C there. Not the lock, that is ours.
        setsid dockerd </dev/null >>"$log" 2>&1 9>&- &
    fi
    wait_until_it_answers "${!:-}" && return
    tail --bytes "+$((from + 1))" "$log" | tail --lines 20 >&2
    return 1
}

wait_until_it_answers() { # [PID]: whose end ends the waiting
    local until=$((SECONDS + start_s))
    until engine_answers; do
        [[ -z ${1:-} ]] || kill -0 "$1" 2>/dev/null || return 1
        ((SECONDS < until)) || return 1
        sleep 0.1
    done
}

start() {
    if [[ -d /run/systemd/system ]]; then
        start_by_systemd
    else
        start_by_itself
    fi
}

# Small kernels and sandboxes lack nf_tables, which Debian's iptables speaks unless told otherwise.
iptables_works() { iptables --table nat --list --numeric &>/dev/null; }

fall_back_to_legacy_iptables() {
    ! iptables_works && [[ -x /usr/sbin/iptables-legacy ]] || return 1
    say 'iptables does not work here: trying iptables-legacy'
    update-alternatives --set iptables /usr/sbin/iptables-legacy >&2
    update-alternatives --set ip6tables /usr/sbin/ip6tables-legacy >&2
    iptables_works && return
    update-alternatives --auto iptables >&2
    update-alternatives --auto ip6tables >&2
    return 1
}

# --- main ---------------------------------------------------------------------------------------------

if engine_answers && compose_answers; then exit 0; fi

[[ -z ${DOCKER_HOST:-} ]] || engine_answers || by_hand "The engine at DOCKER_HOST=$DOCKER_HOST does not answer."
command -v apt-get >/dev/null || by_hand 'No Docker engine with Compose answers, and this is neither Debian nor Ubuntu.'
[[ $EUID == 0 ]] || by_hand 'No Docker engine with Compose answers, and only root can install or start one.'

exec 9>/run/releasekit-engine.lock
flock 9 # two runs at once: the second one finds the work done

if ! compose_answers || { ! engine_answers && ! command -v dockerd >/dev/null; }; then install_missing; fi
engine_answers || start || { fall_back_to_legacy_iptables && start; } || die 'dockerd does not start'
compose_answers || die "Compose is $(compose_version), not $compose_min: another plugin comes before the packaged one"
say "engine $(docker version --format '{{.Server.Version}}'), compose $(compose_version)"
