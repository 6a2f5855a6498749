"""Who may enter the studio, as the settings say."""

from pathlib import Path

import pytest

from settings import Settings, SettingsError
from wiring.server import make_access

SECRET = "s" * 64


def access_of(data_dir: Path, secret: str = SECRET, **values: str) -> tuple[object, list[str]]:
    said: list[str] = []
    return make_access(Settings(data_dir=data_dir, **values), secret, said.append), said  # type: ignore[arg-type]


def test_the_same_passwords_give_the_same_access_at_every_start(tmp_path: Path) -> None:
    words = {"admin_password": "green umbrella", "curator_password": "red umbrella"}
    first, said = access_of(tmp_path, **words)
    assert (first, said) == access_of(tmp_path, **words)
    assert first != access_of(tmp_path, secret="t" * 64, **words)[0]
    assert said == []


def test_a_password_that_was_made_is_another_one_at_every_start(tmp_path: Path) -> None:
    (first, said), (second, _) = (access_of(tmp_path, host="0.0.0.0") for _ in range(2))
    assert first != second
    assert len(said) == 1


def test_passwords_that_cannot_be_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"curator_password: .* at least 8"):
        access_of(tmp_path, admin_password="green umbrella", curator_password="short")
    with pytest.raises(SettingsError, match="must differ"):
        access_of(tmp_path, admin_password="the same one", curator_password="the same one")
