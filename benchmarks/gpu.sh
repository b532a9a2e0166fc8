#!/usr/bin/env bash
# What a GPU shows, in at most 8 minutes: the authors' golden numbers, the train
# step in float32, TF32 and bfloat16, and an epoch of CIFAR-10. On JAX, without
# TensorFlow:
#
#   benchmarks/gpu.sh CIFAR10.npz OUTPUT_FOLDER [KERAS.whl]
#
# JAX, NumPy, Pillow and pytest are those of the machine, and Keras too without
# a wheel. WIDTH, BATCH_SIZE and TRAIN_SIZE make it small enough for a trial on
# a CPU, which also needs a higher LIMIT, the seconds that each part may take.
set -euo pipefail

data=$(realpath "$1")
mkdir -p "$2"
output=$(realpath "$2")
if [ -n "${3:-}" ]; then
  site=$(mktemp -d)
  python3 -m pip install --quiet --no-index --no-deps --target "$site" "$3"
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export KERAS_BACKEND=jax PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
# What one part has compiled the next need not compile.
export JAX_COMPILATION_CACHE_DIR="${JAX_COMPILATION_CACHE_DIR:-$(mktemp -d)}"
width=${WIDTH:-1.0}
batch_size=${BATCH_SIZE:-128}
limit=${LIMIT:-150}

failed() {
  echo "$1: failed or took more than $limit s" >&2
}

# Beside float32 proper, which is what `highest` means, JAX has TF32.
train_step() {
  JAX_DEFAULT_MATMUL_PRECISION=$2 timeout "$limit" python3 \
    benchmarks/train_step.py --models $4 --widths "$width" \
    --batch-sizes "$batch_size" --dtypes "$3" --steps 10 \
    --output "$output/train_step_$1.json" || failed "$1"
}

JAX_DEFAULT_MATMUL_PRECISION=highest timeout "$limit" python3 -m pytest -q \
  -p no:cacheprovider tests/models/test_golden_step.py \
  | tee "$output/golden.txt" || failed "golden numbers"
train_step bfloat16 default mixed_bfloat16 "cifar10 emotion"
train_step tf32 tensorfloat32 float32 "cifar10 emotion"
train_step float32 highest float32 "cifar10"
python3 benchmarks/epoch.py "$data" --width "$width" \
  --batch-size "$batch_size" --dtype mixed_bfloat16 \
  ${TRAIN_SIZE:+--train-size "$TRAIN_SIZE"} --output "$output/epoch.json"
