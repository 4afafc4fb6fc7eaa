"""Each job goes to exactly one worker, on every store."""

from examples import job_queue


def test_none_twice_none_lost(url: str) -> None:
    outcome = job_queue.run(url, workers=8, jobs=1_000)
    assert outcome.is_exact, outcome
    assert sum(outcome.by_worker.values()) == 1_000
