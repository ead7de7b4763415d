#!/bin/sh
# The floor: the least that a blue-green release of the shop can be, as a team would write it by
# hand for this one project. No checks, no records, no way back, nothing that survives a kill.
#
#   floor.sh SHA OLD NEW ORDER      in the shop's folder; OLD and NEW are slots; ORDER is
#                                   web-first (the worker starts once the web is healthy) or
#                                   together; PROJECT, NGINX_DIR and FLOOR_YAML set
#
# Prints a line for each phase, some more than once: name and seconds.
# shellcheck disable=SC2086  # a list of words
set -eu
sha=$1 old=$2 new=$3 order=$4
nginx=$PROJECT-nginx-1

mark=$(date +%s%N)
phase() {
    now=$(date +%s%N)
    echo "$1 $(((now - mark) / 1000000))" | awk '{ printf "%s %.3f\n", $1, $2 / 1000 }'
    mark=$now
}
up() {
    RELEASE_TAG=$sha docker compose -p "$PROJECT-floor-$new" --env-file shop.env -f "$FLOOR_YAML" \
        up -d --no-build --quiet-pull "$@" >/dev/null 2>&1
    phase start
}

web=$PROJECT-floor-$new-web-1
worker=$PROJECT-floor-$new-worker-1
case $order in
web-first) first=web then=worker ;;
together) first='web worker' then= ;;
esac

up $first
address=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$web")
until curl -fsS -o /dev/null -m 2 "http://$address:8080/up" 2>/dev/null; do sleep 0.05; done
phase boot
[ -z "$then" ] || up $then
until [ "$(docker inspect -f '{{.State.Health.Status}}' "$worker")" = healthy ]; do sleep 0.05; done
phase boot

before=$(docker top "$nginx" -eo pid,args | awk '/worker process$/ { print $1 }')
printf 'upstream web { server %s:8080 max_fails=0; }\nkeepalive_min_timeout 1s;\n' "$address" \
    >"$NGINX_DIR/.new"
mv "$NGINX_DIR/.new" "$NGINX_DIR/floor.conf"
phase write
docker exec "$nginx" nginx -c /etc/shop-nginx/nginx.conf -t 2>/dev/null
phase test
# Not `docker kill -s HUP`: nginx would count as stopped by hand, and not start with the engine.
docker exec "$nginx" nginx -c /etc/shop-nginx/nginx.conf -s reload 2>/dev/null
while docker top "$nginx" -eo pid,args | awk '{ print $1 }' | grep -qxF "$before"; do sleep 0.02; done
phase reload

if [ "$old" != none ]; then
    docker stop "$PROJECT-floor-$old-web-1" "$PROJECT-floor-$old-worker-1" >/dev/null
    phase stop
    docker rm "$PROJECT-floor-$old-web-1" "$PROJECT-floor-$old-worker-1" >/dev/null
    phase remove
fi
