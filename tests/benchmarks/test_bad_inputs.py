from benchmarks.bad_inputs import PARSERS, try_parsers


def test_every_parser_refuses_in_its_own_words() -> None:
    outcome = try_parsers(60, seed=1)
    assert outcome.defects == {}
    assert outcome.num_inputs == 60 * len(PARSERS)
