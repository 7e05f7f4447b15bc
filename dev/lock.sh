#!/bin/sh
# Choose dependency versions anew: sh dev/lock.sh
# Nothing younger than a week is taken: most poisoned releases are found by then.
set -eu
uv=.venv/bin/uv
week_ago=$(date -u -d '7 days ago' +%Y-%m-%dT00:00:00Z)

lock() {
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --exclude-newer "$week_ago" \
        --custom-compile-command "sh dev/lock.sh" pyproject.toml "$@"
}

lock --upgrade --extra agent --output-file requirements/agent.txt
lock --upgrade --extra operator -c requirements/agent.txt --output-file requirements/operator.txt
lock --upgrade --all-extras --group dev -c requirements/operator.txt --output-file requirements/dev.txt

# The scanner of `make scan` has close to a hundred dependencies, and a place of its own.
echo "checkov" | "$uv" pip compile --quiet --upgrade --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url --no-emit-find-links --exclude-newer "$week_ago" \
    --custom-compile-command "sh dev/lock.sh" --output-file requirements/scan.txt -
