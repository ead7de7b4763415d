#!/bin/sh
# The part of the official image's entrypoint that a compose file relies on: POSTGRES_USER,
# POSTGRES_PASSWORD (or …_FILE) and POSTGRES_DB make the first cluster; PGDATA says where.
# Left out: /docker-entrypoint-initdb.d.
set -eu

if [ "${1#-}" != "$1" ]; then set -- postgres "$@"; fi
[ "$1" = postgres ] || exec "$@"

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /run/postgresql
    chown -R postgres:postgres "$PGDATA" /run/postgresql
    chmod 0700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    [ -z "${POSTGRES_PASSWORD_FILE:-}" ] || POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
        echo >&2 'postgres: the first start needs POSTGRES_PASSWORD'
        exit 1
    fi
    # Built aside and renamed, so that a container killed half-way starts afresh.
    rm -rf "$PGDATA/.new"
    umask 077
    printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
    initdb --pgdata="$PGDATA/.new" --username="$user" --pwfile=/tmp/password --encoding=UTF8 \
        --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$PGDATA/.new/pg_hba.conf"
    if [ "$database" != postgres ]; then
        printf 'CREATE DATABASE "%s"\n' "$database" | postgres --single -D "$PGDATA/.new" postgres
    fi
    # PG_VERSION last: it is what says that the cluster is whole.
    find "$PGDATA/.new" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv {} "$PGDATA" \;
    mv "$PGDATA/.new/PG_VERSION" "$PGDATA"
    rmdir "$PGDATA/.new"
fi
unset POSTGRES_PASSWORD
exec "$@"
