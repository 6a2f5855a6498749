"""An answer without the JSON around it, for whatever compares, counts or shows its words."""

from __future__ import annotations

import json


def read_fields(text: str) -> tuple[str, ...]:
    """The sentence, then titles and descriptions of a recommendation, however loosely it keeps the
    schema; any other text as it stands.
    """
    try:
        value = json.loads(text)
        parts = [value["recommend"]]
        for challenge in value["challenges"]:
            parts += [challenge["title"], challenge["description"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        return (text,)
    return tuple(parts) if all(isinstance(part, str) for part in parts) else (text,)
