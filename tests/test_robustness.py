"""docs/robustness.md says what the tests try."""

from tests import robustness


def test_the_page_is_what_the_tests_say():
    assert robustness.DOCUMENT.read_text(encoding="utf-8") == robustness.document(), "run: python -m tests.robustness"


def test_at_least_a_hundred_rows_with_what_the_user_sees():
    rows, accidents = robustness.refusals(), robustness.faults()
    assert len(rows) + len(accidents) >= 100 and len(accidents) >= 10
    assert all(given and message and path for given, message, path in rows)
    families = {path.split("/")[1] for _, _, path in rows}
    assert {"kvae", "worldmodels", "vrae", "training", "data", "examples"} <= families
