import pytest

from tests.finetune.planted_data import PLANTED, export_planted


@pytest.mark.slow
def test_none_of_fifty_planted_personal_data_reaches_an_exported_dataset() -> None:
    assert len(set(PLANTED)) == 50
    num_rows, read = export_planted()
    assert num_rows == 50
    assert read == []
