"""People, as part of the Store: consents, what was done and by whom, privacy, lineage, views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from feedback_store import audit, consents, lineage, privacy, views
from feedback_store.database import Database
from feedback_store.records import AuditEntry, Consent, ConsentKind, Deletion, Lineage


class PeopleStore:
    """The Store's methods about people, and about everything at once."""

    _db: Database
    data_dir: Path

    def set_consent(
        self,
        person_id: str,
        *,
        conversation_id: str | None = None,
        kind: ConsentKind,
        granted: bool,
    ) -> Consent:
        """Record what a person agreed to, for one conversation or all of theirs."""
        return self._db.write(consents.set_consent, person_id, conversation_id, kind, granted)

    def get_consent(
        self,
        person_id: str,
        *,
        conversation_id: str | None = None,
        kind: ConsentKind,
    ) -> bool:
        """What counts now; without an answer: keep yes, train no."""
        return self._db.read(consents.get_consent, person_id, conversation_id, kind)

    def record(self, actor: str, action: str, target: str = "", **detail: Any) -> AuditEntry:
        """Append to the audit log. Decisions and promotions are recorded by themselves."""
        return self._db.write(audit.add_entry, actor, action, target, detail)

    def list_audit(
        self, *, before: int | None = None, limit: int = 100, action: str | None = None
    ) -> list[AuditEntry]:
        """Entries of the audit log, newest first; before is the last entry_id of the page above."""
        return self._db.read(audit.list_entries, before, limit, action)

    def list_actor_names(self) -> dict[str, str]:
        """Actor → the name they gave when they last logged in."""
        return self._db.read(audit.list_names)

    def export_person(self, person_id: str) -> dict[str, Any]:
        """Everything kept about a person, as plain JSON types."""
        return self._db.read(privacy.export_person, person_id)

    def delete_person(self, person_id: str) -> Deletion:
        """Forget a person for good; tells which datasets and adapters still contain them."""
        deletion = privacy.delete_person(self._db, self.data_dir, person_id)
        self.record("privacy", "delete person", detail=f"{deletion.num_conversations} chats")
        return deletion

    def delete_conversation(self, conversation_id: str) -> Deletion:
        """Forget one conversation for good; tells which datasets and adapters contain it."""
        return privacy.delete_conversation(self._db, self.data_dir, conversation_id)

    def apply_retention(self, days: int = privacy.RETENTION_DAYS) -> int:
        """Delete public chats unused for so many days; how many. Meant to run daily."""
        return privacy.apply_retention(self._db, self.data_dir, days)

    def sources_of_turn(self, turn_id: int) -> Lineage:
        """What stands behind an answer: adapter, run, dataset, examples, turns."""
        return self._db.read(lineage.behind_turn, turn_id)

    def sources_of_adapter(self, version: str) -> Lineage:
        """What stands behind an adapter: run, dataset, examples, turns."""
        return self._db.read(lineage.behind_adapter, version)

    def uses_of_turn(self, turn_id: int) -> Lineage:
        """Every example, dataset, run and adapter that a turn went into."""
        return self._db.read(lineage.uses_of_turn, turn_id)

    def uses_of_person(self, person_id: str) -> Lineage:
        """Every turn, example, dataset, run and adapter that contains a person's words."""
        return self._db.read(lineage.uses_of_person, person_id)

    def read_view(self, name: str) -> list[dict[str, Any]]:
        """All rows of a view for a common question; see docs/store.md."""
        return self._db.read(views.read_view, name)
