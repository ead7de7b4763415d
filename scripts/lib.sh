# shellcheck shell=bash
# Shared by the scripts beside it; sourced, never run.

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }
die() { say "$*"; exit 1; }

version_at_least() { printf '%s\n' "$1" "${2:-0}" | sort -V -C; } # WANTED HAVE

# Where this machine gets Debian from: apt reads its own sources, whatever their format, and a
# repository says in its Release file what it is. Third-party ones and the security archive drop out.
# shellcheck disable=SC2016 # $(REPO_URI) is apt's to fill in
debian_mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
        'Origin: Debian' 'Label: Debian' 'Component: main' 2>/dev/null |
        grep --max-count=1 -E '^(https?|file|copy|mirror)'
}

# shellcheck disable=SC2034 # for those that source this
debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# For what the distribution itself has. The lists of a fresh machine or image are empty or old.
apt_install() {
    if [[ $EUID != 0 ]] || ! command -v apt-get >/dev/null; then die "please install: $*"; fi
    say "installing $*"
    export DEBIAN_FRONTEND=noninteractive
    {
        apt-get -q update && apt-get -q install --yes --no-install-recommends "$@"
    } >&2
}
