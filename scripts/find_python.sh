#!/bin/sh
# Print a Python between two versions that can make a virtual environment: find_python.sh 3.10 3.13
# Looks through every folder of PATH (a shim there may exist and still fail), then pyenv's, uv's and conda's versions.
oldest=$1
newest=$2

works() {
    "$1" - "$oldest" "$newest" 2>/dev/null <<'PYTHON'
import ensurepip, sys, venv
oldest, newest = (tuple(map(int, text.split("."))) for text in sys.argv[1:])
sys.exit(not oldest <= sys.version_info[:2] <= newest)
PYTHON
}

IFS=:
for folder in $PATH; do
    for name in python3 python3.11 python3.12 python3.13 python3.10; do
        if [ -x "$folder/$name" ] && works "$folder/$name"; then
            echo "$folder/$name"
            exit 0
        fi
    done
done
unset IFS
for folder in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.* "$HOME"/.local/share/uv/python/cpython-3.* "$HOME"/*conda3/envs/*; do
    if [ -x "$folder/bin/python3" ] && works "$folder/bin/python3"; then
        echo "$folder/bin/python3"
        exit 0
    fi
done
echo "No Python from $oldest to $newest with the venv module was found; install one (on Debian also python3-venv), or say" \
    "which: make PYTHON=... or PAPER_PYTHON=..." >&2
exit 1
