#!/bin/sh
# Make the virtual environment of the checkout: setup.sh PYTHON VENV
set -eu
python=$1 venv=$2

say() { printf '%s\n' "$*" >&2; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || {
    say "setup: $python is missing or older than Python 3.11; install it, or name another one: make test PYTHON=/path/to/python3"
    exit 3
}
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian keeps venv in a package of its own.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "setup: installing python3-venv"
        apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
    else
        say "setup: this Python has no venv module; install the package python3-venv"
        exit 3
    fi
fi

say "setup: making $venv (about half a minute, once)"
"$python" -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
