#!/bin/sh
# Start the store with the users of users.acl, whose passwords come from files; further arguments go to the server.
#
#   ALMANAC_API_PASSWORD_FILE, ALMANAC_BATCH_PASSWORD_FILE   files with one line each
#   ALMANAC_STORE_SERVER   the server program; unset: valkey-server or redis-server, whichever is there
#   ALMANAC_STORE_RUN      a folder that only this user can read and that may vanish; unset: /run/almanac
#
# The server gets the passwords' SHA-256 only.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
run=${ALMANAC_STORE_RUN:-/run/almanac}
server=${ALMANAC_STORE_SERVER:-$(command -v valkey-server || command -v redis-server)}

digest() {
    password=$(cat "$1")
    if [ "${#password}" -lt 16 ]; then
        echo "the password in $1 is shorter than 16 characters: write a longer one, such as openssl rand -hex 24" >&2
        exit 1
    fi
    printf %s "$password" | sha256sum | cut -d ' ' -f 1
}

umask 077
api=$(digest "$ALMANAC_API_PASSWORD_FILE")
batch=$(digest "$ALMANAC_BATCH_PASSWORD_FILE")
sed -e "/^#/d" -e "s/@API@/$api/" -e "s/@BATCH@/$batch/" "$here/users.acl" >"$run/users.acl"

exec "$server" "$here/redis.conf" --aclfile "$run/users.acl" "$@"
