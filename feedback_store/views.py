"""Views for the common questions: for Datasette, sqlite-utils and the Insights tab alike."""

from __future__ import annotations

from typing import Any, Final

from feedback_store.errors import NotFound
from feedback_store.sqlite import Connection, fetch_all

# Name → query. A change to one needs a migration.
VIEWS: Final = {
    "answers": """
        SELECT turn_id, turns.created_at, conversation_id, turns.lang, category, location,
            work_type, user_text, json_extract(recommendation, '$.recommend') AS recommend,
            status, adapter, feedback.rating, feedback.reasons, feedback.comment,
            time_to_first_token_ms, duration_ms
        FROM turns LEFT JOIN feedback USING (turn_id)
        WHERE coalesce(feedback.is_current, 1) = 1""",
    "ratings_by_adapter": """
        SELECT adapter, count(DISTINCT turn_id) AS num_turns,
            count(*) FILTER (WHERE rating = 'like') AS num_likes,
            count(*) FILTER (WHERE rating = 'dislike') AS num_dislikes,
            round(avg(rating = 'like'), 3) AS like_rate
        FROM turns LEFT JOIN (SELECT turn_id, rating FROM feedback WHERE is_current = 1)
            USING (turn_id)
        GROUP BY adapter ORDER BY adapter DESC""",
    "ratings_by_day": """
        SELECT substr(created_at, 1, 10) AS day,
            count(*) FILTER (WHERE rating = 'like') AS num_likes,
            count(*) FILTER (WHERE rating = 'dislike') AS num_dislikes
        FROM feedback WHERE is_current = 1 GROUP BY day ORDER BY day""",
    "ratings_over_time": """
        SELECT substr(feedback.created_at, 1, 10) AS day, turns.adapter, turns.category,
            count(*) FILTER (WHERE rating = 'like') AS num_likes,
            count(*) FILTER (WHERE rating = 'dislike') AS num_dislikes
        FROM feedback JOIN turns USING (turn_id) WHERE is_current = 1
        GROUP BY day, turns.adapter, turns.category ORDER BY day""",
    "turns_by_day": """
        SELECT substr(created_at, 1, 10) AS day, count(*) AS num_turns,
            count(*) FILTER (WHERE status <> 'ok') AS num_not_ok,
            count(DISTINCT person_id) AS num_people
        FROM turns GROUP BY day ORDER BY day""",
    "turns_by_category": """
        SELECT category, count(*) AS num_turns, count(*) FILTER (WHERE status <> 'ok') AS num_not_ok
        FROM turns GROUP BY category ORDER BY category""",
    "reasons_by_adapter": """
        SELECT turns.adapter, reason.value AS reason, feedback.rating, count(*) AS num_feedback
        FROM feedback JOIN turns USING (turn_id), json_each(feedback.reasons) AS reason
        WHERE is_current = 1
        GROUP BY turns.adapter, reason.value, feedback.rating
        ORDER BY turns.adapter DESC, num_feedback DESC""",
    "examples_by_state": """
        SELECT state, purpose, source, count(*) AS num_examples
        FROM examples GROUP BY state, purpose, source""",
    "accepted_by_category": """
        SELECT category, count(*) AS num_accepted, count(*) FILTER (WHERE example_id NOT IN (
            SELECT example_id FROM dataset_rows WHERE dataset_id = (
                SELECT dataset_id FROM datasets ORDER BY created_at DESC LIMIT 1))) AS num_new
        FROM examples WHERE state = 'accepted' AND purpose = 'train'
        GROUP BY category ORDER BY num_new DESC""",
    "decisions_by_curator": """
        SELECT decided_by, substr(decided_at, 1, 10) AS day, state, count(*) AS num_decisions
        FROM decisions GROUP BY decided_by, day, state ORDER BY day DESC, decided_by""",
    "adapter_origins": """
        SELECT adapters.version, adapters.state, adapters.created_at, adapters.base_model,
            adapters.run_id, adapters.dataset_id, datasets.num_train, datasets.num_validation,
            (SELECT group_concat(alias, ', ') FROM aliases WHERE aliases.version = adapters.version)
                AS aliases
        FROM adapters LEFT JOIN datasets USING (dataset_id)
        ORDER BY adapters.created_at DESC""",
}


def read_view(connection: Connection, name: str) -> list[dict[str, Any]]:
    """All rows of a view."""
    if name not in VIEWS:
        raise NotFound("view", name)
    return [dict(row) for row in fetch_all(connection, f"SELECT * FROM {name}")]
