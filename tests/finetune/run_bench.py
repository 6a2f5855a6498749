"""Runs whose process is real, and whose trainer is a short script in its place."""

from pathlib import Path

from feedback_store.records import Dataset, Run
from feedback_store.store import Store
from finetune.job import CHECKPOINTS_DIR
from finetune.recipe import Recipe, load_recipe
from finetune.run_process import ProcessMark
from finetune.runs import start_run, watch_run
from tests.finetune.training_jobs import write_checkpoint
from tests.tiny_models import build_model

TRAINS = """
import sys, json, time, pathlib
run = pathlib.Path(sys.argv[sys.argv.index("--run-dir") + 1])
for step in range(1, 4):
    line = {"time": "2026-01-01T00:00:00.000Z", "step": step, "total_steps": 3, "loss": 1 / step}
    with (run / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\\n")
(run / "result.json").write_text(json.dumps({"state": "done", "eval_loss": 0.5}))
"""
FAILS = """
import sys, json, pathlib
run = pathlib.Path(sys.argv[sys.argv.index("--run-dir") + 1])
error = {"code": "mixed_formats", "message": "Three answers are no JSON."}
(run / "result.json").write_text(json.dumps({"state": "failed", "error": error}))
sys.exit(1)
"""
CRASHES = "print('the disk is on fire'); raise SystemExit(3)"
SLEEPS = "import time; time.sleep(300)"
SPINS = "while True: pass"
DEAF = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
time.sleep(300)
"""
# Its first thread is gone, which looks like a zombie, while another goes on; then it is killed.
HALF_GONE = """
import ctypes, os, pathlib, signal, sys, threading, time
def wait():
    while not pathlib.Path("go").exists():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=wait).start()
ctypes.CDLL(None).pthread_exit(None)
"""


class Bench:
    """A store, a dataset, a base, and a stand-in for finetune.train."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.data_dir = folder / "data"
        self.base = build_model(folder / "base")
        self.package = folder / "package"
        (self.package / "finetune").mkdir(parents=True)
        dataset_dir = folder / "dataset"
        dataset_dir.mkdir()
        self.dataset = Dataset(
            dataset_id="d1", path=str(dataset_dir), num_train=100, num_validation=10, manifest={}
        )
        store.add_dataset(self.dataset, [])

    def will_run(self, script: str) -> None:
        """What the process does when it is started the next time."""
        (self.package / "finetune" / "__init__.py").write_text("")
        (self.package / "finetune" / "train.py").write_text(script)

    def start(self, recipe: Recipe | None = None) -> Run:
        recipe = recipe or load_recipe()
        return start_run(self.store, self.data_dir, self.dataset, recipe, str(self.base))

    def watch(self, run: Run) -> Run:
        for _ in watch_run(self.store, self.data_dir, run.run_id):
            pass
        ended = self.store.get_run(run.run_id)
        assert ended is not None
        return ended


def mark_of(run: Run) -> ProcessMark:
    assert run.pid is not None
    assert run.process_started_at is not None
    return ProcessMark(run.pid, run.process_started_at)


def leave_checkpoint(run_dir: Path) -> None:
    write_checkpoint(run_dir / CHECKPOINTS_DIR, 10)
