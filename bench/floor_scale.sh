#!/bin/sh
# What compose alone takes to bring the shop's web to COUNT replicas of a release, and they to
# become healthy. Replicas of another release it stops first, and users get errors meanwhile.
#
#   floor_scale.sh SHA COUNT      in the shop's folder; PROJECT, FLOOR_YAML set
#
# Prints one line a phase: name and seconds.
set -eu
sha=$1 count=$2
slot=$PROJECT-floor-blue

mark=$(date +%s%N)
phase() {
    now=$(date +%s%N)
    echo "$1 $(((now - mark) / 1000000))" | awk '{ printf "%s %.3f\n", $1, $2 / 1000 }'
    mark=$now
}

RELEASE_TAG=$sha docker compose -p "$slot" --env-file shop.env -f "$FLOOR_YAML" \
    up -d --no-build --quiet-pull --scale web="$count" web >/dev/null 2>&1
phase start

ids=$(docker ps -q --filter "label=com.docker.compose.project=$slot")
# shellcheck disable=SC2086  # a list of words
addresses=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' $ids)
for address in $addresses; do
    until curl -fsS -o /dev/null -m 2 "http://$address:8080/up" 2>/dev/null; do sleep 0.05; done
done
phase boot
