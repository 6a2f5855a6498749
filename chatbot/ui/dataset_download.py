"""A dataset version as one file to download, for admins: splits and data card, zipped."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from chatbot.ui.parts import Parts
from finetune.dataset import DatasetError
from finetune.dataset_diff import find_dataset, locate_dataset
from finetune.export import ExportKind, export_dataset

DOWNLOAD_PATH: Final = "/ui/datasets/{dataset_id}/{kind}"
_KINDS: Final[dict[str, ExportKind]] = {"jsonl": "jsonl", "parquet": "parquet"}


def serve_dataset(parts: Parts) -> Callable[[Request], Response]:
    """The route behind DOWNLOAD_PATH."""

    def serve(request: Request) -> Response:
        person_id, role = parts.identify(request)
        if role != "admin":
            return JSONResponse({"message": "Log in to the studio as an admin first."}, 403)
        kind = _KINDS.get(request.path_params["kind"])
        if kind is None:
            return JSONResponse({"message": "A dataset comes as jsonl or parquet."}, 404)
        try:
            answer = _zip(parts, str(request.path_params["dataset_id"]), kind)
        except DatasetError as error:
            status = 404 if error.code == "unknown_dataset" else 500
            return JSONResponse({"message": str(error)}, status)
        except OSError as error:
            message = f"The dataset could not be packed: {error}. Is the disk full?"
            return JSONResponse({"message": message}, 500)
        parts.store.record(person_id, "export dataset", request.path_params["dataset_id"])
        return answer

    return serve


def _zip(parts: Parts, dataset_id: str, kind: ExportKind) -> Response:
    dataset = find_dataset(parts.store, dataset_id)
    name = f"dataset-{dataset.dataset_id}-{kind}"
    work_dir = Path(tempfile.mkdtemp(prefix="export-"))
    try:
        folder = export_dataset(locate_dataset(parts.store, dataset), work_dir / name, kind)
        file = shutil.make_archive(str(work_dir / "dataset"), "zip", work_dir, folder.name)
    except BaseException:
        shutil.rmtree(work_dir, ignore_errors=True)
        raise
    clean_up = BackgroundTask(shutil.rmtree, work_dir, ignore_errors=True)
    return FileResponse(
        file, filename=f"{name}.zip", media_type="application/zip", background=clean_up
    )
