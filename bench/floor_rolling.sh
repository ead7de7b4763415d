#!/bin/sh
# The floor of rolling: the least that a rolling release of the shop's web can be, as a team would
# write it by hand for this one project. No checks, no records, no way back, nothing that survives
# a kill; it takes for granted that all of the old replicas are well.
#
#   floor_rolling.sh SHA OLD NEW COUNT BATCH      in the shop's folder; OLD and NEW are slots;
#                                                 PROJECT, NGINX_DIR and FLOOR_YAML set
#
# Prints a line for each phase of each batch: name and seconds.
# shellcheck disable=SC2046,SC2086  # lists of words
set -eu
sha=$1 old=$2 new=$3 count=$4 batch=$5
nginx=$PROJECT-nginx-1
address='{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'

mark=$(date +%s%N)
phase() {
    now=$(date +%s%N)
    echo "$1 $(((now - mark) / 1000000))" | awk '{ printf "%s %.3f\n", $1, $2 / 1000 }'
    mark=$now
}
running() { docker ps -q --filter "label=com.docker.compose.project=$PROJECT-floor-$1"; }
addresses() { [ $# = 0 ] || docker inspect -f "$address" "$@"; }

# A container and its address stand at the same place of both lists.
gone=$(running "$old")
left=$gone
left_at=$(addresses $left)
new_at=
up=0
phase look

while [ "$up" -lt "$count" ]; do
    size=$((count - up < batch ? count - up : batch))
    up=$((up + size))
    RELEASE_TAG=$sha docker compose -p "$PROJECT-floor-$new" --env-file shop.env -f "$FLOOR_YAML" \
        up -d --no-build --quiet-pull --no-recreate --scale web="$up" web >/dev/null 2>&1
    phase start

    batch_at=$(addresses $(running "$new" | head -n "$size")) # the newest come first
    for at in $batch_at; do
        until curl -fsS -o /dev/null -m 2 "http://$at:8080/up" 2>/dev/null; do sleep 0.05; done
    done
    new_at="$new_at $batch_at"
    phase boot

    leaving=$(echo "$left" | head -n "$size")
    left=$(echo "$left" | tail -n "+$((size + 1))")
    left_at=$(echo "$left_at" | tail -n "+$((size + 1))")
    before=$(docker top "$nginx" -eo pid,args | awk '/worker process$/ { print $1 }')
    {
        echo 'keepalive_min_timeout 1s;'
        echo 'upstream web {'
        for at in $new_at $left_at; do echo "    server $at:8080 max_fails=0;"; done
        echo '}'
    } >"$NGINX_DIR/.new"
    mv "$NGINX_DIR/.new" "$NGINX_DIR/floor.conf"
    phase write
    docker exec "$nginx" nginx -c /etc/shop-nginx/nginx.conf -t 2>/dev/null
    phase test
    # Not `docker kill -s HUP`: nginx would count as stopped by hand, and not start with the engine.
    docker exec "$nginx" nginx -c /etc/shop-nginx/nginx.conf -s reload 2>/dev/null
    while docker top "$nginx" -eo pid,args | awk '{ print $1 }' | grep -qxF "$before"; do
        sleep 0.02
    done
    phase reload

    if [ -n "$leaving" ]; then docker stop $leaving >/dev/null; fi
    phase stop
done

if [ -n "$gone" ]; then docker rm $gone >/dev/null; fi
phase remove
