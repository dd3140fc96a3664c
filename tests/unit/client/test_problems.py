from strategy_engine.client import problems


def test_a_problem_without_detail_is_told_by_its_title() -> None:
    assert str(problems.refusal(404, {"title": "Not found"})) == "Not found"


def test_an_empty_problem_is_told_by_its_status() -> None:
    assert str(problems.refusal(500, {})) == "the engine answered 500"


def test_a_huge_detail_is_cut() -> None:
    assert len(str(problems.refusal(422, {"detail": "x" * 100_000}))) < 2_100
