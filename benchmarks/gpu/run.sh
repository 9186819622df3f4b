#!/bin/sh
# On the machine with the GPU, in the root of the repository:
#     sh benchmarks/gpu/run.sh PACK --output DIR [options of photographs.py run]
# PACK is what `python -m benchmarks.gpu.photographs pack` wrote. Its packages go into a folder that
# lasts as long as the run; torch and the usual scientific packages are those of the machine's
# Python, $PYTHON or python3.
set -eu
# Every tensor that a worker of a data loader hands over is an open file.
ulimit -n "$(ulimit -Hn)" || true
pack=$(cd "$1" && pwd)
shift
python=${PYTHON:-python3}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
"$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile \
    --target "$site" "$pack"/wheels/*.whl
PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}" DETECTRON2_DATASETS="$pack/datasets" \
    "$python" -m benchmarks.gpu.photographs run --pack "$pack" "$@"
