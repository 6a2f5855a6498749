"""Weights & Biases is online only for people who logged in, and never by surprise."""

from pathlib import Path

import pytest

from finetune.tracking import choose_mode, make_environment


@pytest.mark.parametrize(
    ("setting", "environment", "mode"),
    [
        ("auto", {}, "off"),
        ("auto", {"WANDB_API_KEY": "k"}, "online"),
        ("off", {"WANDB_API_KEY": "k"}, "off"),
        ("offline", {"WANDB_API_KEY": "k"}, "offline"),
        ("online", {}, "offline"),
        ("online", {"WANDB_API_KEY": "k"}, "online"),
        ("auto", {"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, "offline"),
        ("online", {"WANDB_API_KEY": "k", "WANDB_MODE": "disabled"}, "off"),
    ],
)
def test_the_mode_follows_setting_and_login(
    setting: str, environment: dict[str, str], mode: str, tmp_path: Path
) -> None:
    assert choose_mode(setting, environment, tmp_path) == mode


def test_a_login_of_the_wandb_command_counts(tmp_path: Path) -> None:
    path = tmp_path / ".netrc"
    path.write_text("machine api.wandb.ai login user password 0123456789\n")
    path.chmod(0o600)
    assert choose_mode("auto", {}, tmp_path) == "online"
    path.write_text("machine example.org login user password x\n")
    assert choose_mode("auto", {}, tmp_path) == "off"


def test_a_damaged_netrc_is_no_login(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine")
    assert choose_mode("auto", {}, tmp_path) == "off"


def test_what_wandb_writes_stays_in_the_run_folder(tmp_path: Path) -> None:
    made = make_environment("offline", tmp_path, "r1")
    assert made["WANDB_DIR"] == str(tmp_path)
    assert made["WANDB_MODE"] == "offline"
