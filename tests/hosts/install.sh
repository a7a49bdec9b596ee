#!/bin/sh
# Install the Debian packages that the tests in this folder need, where they are missing.
# usage: install.sh PACKAGE…    each has a program of its name
set -eu
PATH=$PATH:/usr/sbin

missing=
for package in "$@"; do
    command -v "$package" >/dev/null || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "installing$missing ..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086  # several words
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
    exit 0
fi
echo "the tests in tests/hosts need$missing: install them with the system's package manager" >&2
exit 1
