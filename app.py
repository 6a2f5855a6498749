"""EcoLoop: a chat application that learns from its own users. `python app.py --help` tells more."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from settings import Settings, SettingsError, add_flags, load_settings
from wiring.plain_log import set_up_logging

CHAT = "chat"
# What a command needs to know of the settings; `chat` takes them all.
COMMAND_FLAGS = (
    *("data_dir", "model", "engine", "vllm_urls"),
    *("num_cases", "answer_format", "judge_url", "judge_model"),
)


def build_parser() -> argparse.ArgumentParser:
    """All commands; `chat` is meant when none is named."""
    from wiring.commands import COMMANDS, OUTSIDE_COMMANDS

    parser = argparse.ArgumentParser(prog="app.py", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    chat = commands.add_parser(CHAT, help="serve the chat and the studio (the default)")
    add_flags(chat)
    for name, command in (COMMANDS | OUTSIDE_COMMANDS).items():
        sub = commands.add_parser(name, help=command.help, description=command.run.__doc__)
        command.add_arguments(sub)
        sub.add_argument("--json", action="store_true", help="print JSON (default: sentences)")
        add_flags(sub, *COMMAND_FLAGS)
    options = chat.format_help().partition("show this help message and exit\n")[2]
    parser.epilog = "options of chat, which needs no command word:\n" + options
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The arguments; flags without a command word are those of `chat`."""
    is_bare = not words or (words[0].startswith("-") and words[0] not in ("-h", "--help"))
    return build_parser().parse_args([CHAT, *words] if is_bare else list(words))


def say(text: str) -> None:
    """One message to the terminal, at once."""
    print(text, flush=True)


def run_beside(arguments: argparse.Namespace, settings: Settings) -> int:
    """A command: by the application that runs on the data folder, else by this process."""
    from feedback_store.store import Store
    from wiring.commands import OUTSIDE_COMMANDS, run_command
    from wiring.context import open_context
    from wiring.control import ask_running, to_plain

    if arguments.command in OUTSIDE_COMMANDS:
        return OUTSIDE_COMMANDS[arguments.command].run(settings, arguments, say)
    owner = Store.owner(settings.data_dir)
    if owner:
        return ask_running(owner, arguments.command, to_plain(arguments), say)
    with open_context(settings, say) as context:
        return run_command(context, arguments.command, arguments)


def refuse_second(settings: Settings) -> None:
    """Before anything that takes seconds to import: one application for one data folder."""
    from feedback_store.store import Store

    owner = Store.owner(settings.data_dir)
    if owner:
        raise SettingsError(
            f"The data folder {settings.data_dir} is in use by {owner.get('name')} "
            f"(pid {owner.get('pid')}). Stop that process, or choose another folder."
        )


def main(words: Sequence[str]) -> int:
    """Command line; the exit code."""
    arguments = parse(words)
    set_up_logging()
    try:
        settings = load_settings(arguments, os.environ)
        if arguments.command != CHAT:
            return run_beside(arguments, settings)
        refuse_second(settings)
        from wiring.server import serve

        asyncio.run(serve(settings, say))
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        # Errors of ours are sentences with a code; anything else is a defect and shows its trace.
        if not isinstance(error, SettingsError) and not hasattr(error, "code"):
            raise
        print(f"app.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
