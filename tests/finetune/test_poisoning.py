"""The drill: all that was planted is flagged before a curator decides, and not one row is trained
on without a named approval.
"""

import pytest

from feedback_store.store import Store
from tests.finetune.poisoning import NUM_IDENTITIES, PHRASES, Drill, run_drill


@pytest.mark.parametrize("phrase", PHRASES)
def test_what_many_identities_plant_is_flagged_and_waits_for_a_name(
    store: Store, phrase: str
) -> None:
    assert run_drill(store, phrase) == Drill(NUM_IDENTITIES, num_unnamed=0, num_named=40)
