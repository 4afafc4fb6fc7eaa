"""SEMANTICS, "Filters": `contains`, `starts_with`, and `has`."""

from __future__ import annotations

from typing import Any

from ..entities import Account, Sheet, Zoo
from ..kit import rule
from .case import AsyncCase
from .checks import AsyncLabelled, fill

TEXTS = {
    "null": None,
    "empty": "",
    "plain": "banana",
    "upper": "BANANA",
    "percent": "100%_sure",
    "regex": "a.c*[x](y){2}^$|\\d+?",
    "quotes": 'it\'s "quoted" \\ back',
    "lines": "one\ntwo\r\nbanana\n",
    "accent": "ba\u0308nana",
    "composed": "b\u00e4nana",
    "emoji": "ba😀👩‍👩‍👧nana",
    "sharp": "stra\u00dfe",
    "last": "\U0010ffff\U0010ffffx",
}


async def _texts(db: Any) -> AsyncLabelled:
    return await AsyncLabelled.make(
        db.store(Zoo), **{k: Zoo(text_n=v, text=v or "") for k, v in TEXTS.items()}
    )


def _with(needle: str) -> str:
    """Return the labels of the texts that have *needle*, as Python says; the interesting ones are stated literally."""
    return " ".join(label for label, text in TEXTS.items() if text is not None and needle in text)


@rule("filters")
async def contains_is_by_code_point(case: AsyncCase) -> None:
    """Contains is exact: case, accents and composition count; % _ and a regex's characters are themselves."""
    field = Zoo.text_n
    async with case.database(Zoo) as db:
        rows = await _texts(db)
        await rows.takes(field.contains("ana"), "plain lines accent composed emoji")
        await rows.takes(field.contains("ANA"), "upper")
        await rows.takes(field.contains("%"), "percent")
        await rows.takes(field.contains("_"), "percent")
        await rows.takes(field.contains("0%_s"), "percent")
        await rows.takes(field.contains("."), "regex")
        await rows.takes(field.contains("a.c"), "regex")
        await rows.takes(field.contains("*[x](y){2}^$|\\d+?"), "regex")
        await rows.takes(field.contains("\\"), "regex quotes")
        await rows.takes(field.contains("'"), "quotes")
        await rows.takes(field.contains("\n"), "lines")
        await rows.takes(field.contains("o\r\nb"), "lines")
        await rows.takes(field.contains("\u0308"), "accent")
        await rows.takes(field.contains("\u00e4"), "composed")
        await rows.takes(field.contains("😀"), "emoji")
        await rows.takes(field.contains("\u200d👩"), "emoji")
        await rows.takes(field.contains("ss"), "")
        for needle in ("a", " ", "$", "^", "|", "na\n", "\\d", '"', "\U0010ffffx", "(y)"):
            await rows.takes(field.contains(needle), _with(needle))


@rule("filters")
async def starts_with_is_by_code_point(case: AsyncCase) -> None:
    """starts_with is exact, also where the prefix's last code point has no successor of its own."""
    field = Zoo.text_n
    async with case.database(Zoo) as db:
        rows = await _texts(db)
        await rows.takes(field.starts_with("b"), "plain accent composed emoji")
        await rows.takes(field.starts_with("ba"), "plain accent emoji")
        await rows.takes(field.starts_with("B"), "upper")
        await rows.takes(field.starts_with("banana"), "plain")
        await rows.takes(field.starts_with("bananas"), "")
        await rows.takes(field.starts_with("100%"), "percent")
        await rows.takes(field.starts_with("%"), "")
        await rows.takes(field.starts_with("a."), "regex")
        await rows.takes(field.starts_with("a.c*["), "regex")
        await rows.takes(field.starts_with("it's \""), "quotes")
        await rows.takes(field.starts_with("one\nt"), "lines")
        await rows.takes(field.starts_with("two"), "")
        await rows.takes(field.starts_with("b\u00e4"), "composed")
        await rows.takes(field.starts_with("ba😀"), "emoji")
        await rows.takes(field.starts_with("\U0010ffff"), "last")
        await rows.takes(field.starts_with("\U0010ffff\U0010ffff"), "last")
        await rows.takes(Zoo.text.starts_with("\U0010ffff"), "last")


@rule("filters")
async def prefixes_end_where_their_successors_begin(case: AsyncCase) -> None:
    """starts_with takes nothing beyond the prefix's range: around the surrogates' gap and the last code point."""
    texts = [
        "a",
        "a\U0010ffff",
        "b",
        "\ud7ff",
        "\ud7ffz",
        "\ue000",
        "\ue000z",
        "\U0010fffe",
        "\U0010ffff",
        "\U0010ffffa",
    ]
    async with case.database(Sheet) as db:
        store = db.store(Sheet)
        await fill(store, [Sheet(slug=text, site=1) for text in texts])
        for prefix in (
            "a",
            "a\U0010ffff",
            "\ud7ff",
            "\ue000",
            "\U0010fffe",
            "\U0010ffff",
            "\U0010ffff\U0010ffff",
        ):
            found = {e.slug for e in await store.find(Sheet.slug.starts_with(prefix))}
            assert found == {text for text in texts if text.startswith(prefix)}, ascii(prefix)


@rule("filters")
async def empty_needles_match_every_text(case: AsyncCase) -> None:
    """contains("") and starts_with("") match every text that is not null, the empty one too."""
    present = " ".join(label for label, text in TEXTS.items() if text is not None)
    async with case.database(Zoo) as db:
        rows = await _texts(db)
        await rows.takes(Zoo.text_n.contains(""), present)
        await rows.takes(Zoo.text_n.starts_with(""), present)
        await rows.takes(Zoo.text.contains(""), f"null {present}")
        await rows.takes(Zoo.text.starts_with(""), f"null {present}")


@rule("filters")
async def needles_may_have_1000_characters(case: AsyncCase) -> None:
    """Contains and starts_with take needles of 1,000 characters."""
    async with case.database(Zoo) as db:
        rows = await AsyncLabelled.make(
            db.store(Zoo), a=Zoo(text="x" + "😀" * 1_000), b=Zoo(text="😀" * 1_000), c=Zoo(text="." * 1_000)
        )
        await rows.takes(Zoo.text.contains("😀" * 1_000), "a b")
        await rows.takes(Zoo.text.starts_with("😀" * 1_000), "b")
        await rows.takes(Zoo.text.starts_with("." * 1_000), "c")


@rule("filters", real_mongod=True)
async def needles_may_have_1000_special_characters(case: AsyncCase) -> None:
    """Contains takes needles of 1,000 characters that a regex would have to escape."""
    # SecantusDB takes regexes of 1,000 characters, MongoDB of 32,764.
    async with case.database(Zoo) as db:
        rows = await AsyncLabelled.make(db.store(Zoo), a=Zoo(text=".*" * 501), b=Zoo(text=".*" * 499))
        await rows.takes(Zoo.text.contains(".*" * 500), "a")


@rule("filters")
async def has_takes_elements_of_exactly_the_type(case: AsyncCase) -> None:
    """has(v) is about whole elements of exactly v's type: [1], true and "1" have no 1 in them."""
    async with case.database(Zoo) as db:
        rows = await AsyncLabelled.make(
            db.store(Zoo),
            empty=Zoo(things=[]),
            one=Zoo(things=[1]),
            true=Zoo(things=[True]),
            text=Zoo(things=["1"]),
            nested=Zoo(things=[[1], {"1": 1}]),
            null=Zoo(things=[None]),
            many=Zoo(things=["x", None, False, 1, "1", 0, "y"]),
            zero=Zoo(things=[0]),
        )
        await rows.takes(Zoo.things.has(1), "one many")
        await rows.takes(Zoo.things.has(0), "many zero")
        await rows.takes(Zoo.things.has(True), "true")
        await rows.takes(Zoo.things.has(False), "many")
        await rows.takes(Zoo.things.has("1"), "text many")
        await rows.takes(Zoo.things.has(2), "")
        await rows.takes(Zoo.things.has("x") & ~Zoo.things.has(2), "many")


@rule("filters")
async def has_compares_elements_exactly(case: AsyncCase) -> None:
    """has(v) in lists of text and of ints: by code point and to 64 bits; a null list has nothing."""
    async with case.database(Zoo) as db:
        rows = await AsyncLabelled.make(
            db.store(Zoo),
            a=Zoo(tags_n=None, tags=["A", "%"]),
            b=Zoo(tags_n=[], tags=["a", "\u00e4"]),
            c=Zoo(tags_n=["a", "b"], tags=["a\u0308", ""], numbers=[2**53, 2**63 - 1]),
            d=Zoo(tags_n=["ab"], tags=["it's", "$ne", "a,b", '"a"'], numbers=[2**53 + 1, -(2**63)]),
        )
        await rows.takes(Zoo.tags_n.has("a"), "c")
        await rows.takes(Zoo.tags_n.is_null(), "a")
        await rows.takes(Zoo.tags.has("a"), "b")
        await rows.takes(Zoo.tags.has("A"), "a")
        await rows.takes(Zoo.tags.has("%"), "a")
        await rows.takes(Zoo.tags.has(""), "c")
        await rows.takes(Zoo.tags.has("\u00e4"), "b")
        await rows.takes(Zoo.tags.has("a\u0308"), "c")
        await rows.takes(Zoo.tags.has("it's"), "d")
        await rows.takes(Zoo.tags.has("$ne"), "d")
        await rows.takes(Zoo.tags.has('"a"'), "d")
        await rows.takes(Zoo.tags.has("a,b"), "d")
        await rows.takes(Zoo.numbers.has(2**53), "c")
        await rows.takes(Zoo.numbers.has(2**53 + 1), "d")
        await rows.takes(Zoo.numbers.has(-(2**63)), "d")
        await rows.takes(Zoo.numbers.has(2**63 - 1), "c")
        await rows.takes(Zoo.numbers.has(0), "")


@rule("filters", needs=("casefold_unique",))
async def equals_casefold_is_two_valued(case: AsyncCase) -> None:
    """equals_casefold is false on null, and ~ takes the null rows."""
    async with case.database(Account) as db:
        rows = await AsyncLabelled.make(
            db.store(Account),
            n=Account(owner="n"),
            a=Account(owner="a", email="Straße@x"),
            b=Account(owner="b", email="strase@x"),
        )
        await rows.takes(Account.email.equals_casefold("STRASSE@X"), "a")
        await rows.takes(Account.email.equals_casefold("straße@x"), "a")
        await rows.takes(Account.email.equals_casefold(""), "")
