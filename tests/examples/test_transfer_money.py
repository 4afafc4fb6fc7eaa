"""The total is kept, however workers end, on every store."""

from decimal import Decimal

import pytest

from examples import transfer_money


@pytest.mark.slow
def test_the_total_is_kept(url: str) -> None:
    outcome = transfer_money.run(url, workers=4, transfers=12)
    assert outcome.is_kept, outcome
    assert outcome.before == Decimal("20000.00")
    assert (outcome.finished, outcome.killed) == (2, 2)
