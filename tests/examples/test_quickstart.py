"""The tour gives the same lines on every store."""

from examples import quickstart


def test_the_tour(url: str) -> None:
    assert quickstart.main(url) == [
        "ada: 69.50",
        "bob: 30.50",
        "refused: Account.owner is taken",
        "without a note: 2 of 2",
        "two pages: ['ada', 'bob']",
    ]
