"""A store with runs, adapters published from them, and what the tests of promotion need."""

from __future__ import annotations

from pathlib import Path

from feedback_store.records import Adapter, Dataset, Run
from feedback_store.store import Store
from finetune.adapter_folder import run_adapter_dir
from finetune.gate import Outcome, Reason, Verdict
from finetune.registry import publish_adapter
from finetune.report import Report, share_metric
from tests.finetune.fake_serving import BASE_MODEL, write_adapter

PASSED = Verdict("pass", (Reason("gain", "Better than production."),))


def add_dataset(store: Store) -> str:
    """One dataset row, without a folder."""
    if store.get_dataset("d1") is None:
        store.add_dataset(Dataset(dataset_id="d1", path="d1", num_train=3, num_validation=1), [])
    return "d1"


def add_run(store: Store, run_id: str, voice: str = "good", base_model: str = BASE_MODEL) -> Run:
    """A finished run, with the adapter that it left."""
    run = Run(
        run_id=run_id,
        kind="sft",
        state="done",
        dataset_id=add_dataset(store),
        base_model=base_model,
        recipe={"r": 8},
        result={"eval_loss": 1.25},
    )
    store.add_run(run)
    write_adapter(run_adapter_dir(store.data_dir, run_id), voice)
    return run


def make_report(share_good: int = 40) -> Report:
    metrics = (share_metric("valid_json", "higher", share_good, 48),)
    return Report("candidate", BASE_MODEL, {"seed": 7}, metrics=metrics)


def publish(
    store: Store, run_id: str, *, voice: str = "good", outcome: Outcome = "pass"
) -> Adapter:
    """The next version, from a run of its own."""
    run = add_run(store, run_id, voice)
    verdict = Verdict(outcome, (Reason("told", f"It is a {outcome}."),))
    return publish_adapter(store, store.data_dir, run, make_report(), verdict)


def folders(data_dir: Path) -> list[str]:
    """Everything that lies beside the versions."""
    return sorted(path.name for path in (data_dir / "adapters").iterdir())
