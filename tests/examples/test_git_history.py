"""The git history as a blog: whatever a repository holds, every store takes it and gives the same answers."""

import subprocess
import sys
from pathlib import Path

import pytest

from dbkit import connect
from dbkit.blog import Post, User
from examples import git_history
from tests.examples import odd_repository


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_repository.odd(tmp_path_factory.mktemp("git") / "odd.git")


def answers(url: str, repository: Path) -> git_history.Answers:
    history = git_history.read_history(repository)
    with connect(url, entities=[User, Post]) as db:
        db.create_schema()
        users = history.users()
        assert git_history.store(db, users.values(), history.posts(users)) == len(history.commits)
        found = git_history.answers(db)
        db.drop_schema()
    return found


def test_every_store_gives_the_same_answers(url: str, odd: Path) -> None:
    found = answers(url, odd)
    assert (found.people, found.commits) == (32, len(odd_repository.ODD) + 3)
    assert found.by_author[:3] == [("Ann Lee", 4), ("Strasse", 2), ("(no name)", 1)]
    months = dict(found.by_month)
    assert months["0001-01"] == 1
    assert months["1938-04"] == 1
    assert months["2000-02"] == 2
    assert months["9999-12"] == 1
    assert months["1970-01"] == 4  # the epoch, and what no calendar has
    assert found.busiest[:2] == [("Ann Lee", "2000-01", 2), ("Ann Lee", "2000-02", 2)]
    assert found.latest[0] == ("Last", "the last second of 9999")


def test_an_empty_repository_has_answers_too(url: str, tmp_path: Path) -> None:
    found = answers(url, odd_repository.empty(tmp_path / "empty"))
    assert found == git_history.Answers(0, 0, [], [], [], [])


class TestReading:
    def test_nothing_is_left_out(self, odd: Path) -> None:
        messages = {commit.message for commit in git_history.read_history(odd).commits}
        assert {"merge", "aside", "only by a tag", "no number", "year 1"} <= messages
        assert "git's own" not in messages

    def test_encodings(self, odd: Path) -> None:
        history = git_history.read_history(odd)
        by_address = {commit.email: commit for commit in history.commits}
        assert (by_address["j@x.test"].name, by_address["j@x.test"].message) == ("Jürgen", "Grüße")
        assert (by_address["y@x.test"].name, by_address["y@x.test"].message) == ("山田", "表示")
        assert by_address["raw@x.test"].message == "café ÿ"
        assert by_address["wrong@x.test"].message == "café"
        assert by_address["s@x.test"].message == "í\xa0\x80 is no UTF-8"
        assert history.notes["written in Shift_JIS: stored in Unicode"] == 1

    def test_dates(self, odd: Path) -> None:
        seconds = {commit.message: commit.seconds for commit in git_history.read_history(odd).commits}
        assert seconds["before 1970"] == -1_000_000_000
        assert seconds["year 1"] == -62_135_596_800
        assert seconds["at the beginning"] == 0
        assert seconds["no number"] is None

    def test_who_is_who(self, odd: Path) -> None:
        people = git_history.read_history(odd).people
        ann = {person for (name, _), person in people.items() if name in {"Ann Lee", "ann"}}
        assert ann == {git_history.Person("Ann Lee", "ann@work.test")}
        assert people["sam", "sam@one.test"] != people["sam", "sam@two.test"]
        assert people["root", "root@localhost"] != people["Eve", "root@localhost"]
        assert people["Straße", "strasse@x.test"] == people["Strasse", "strasse@x.test"]
        assert len({person.name for person in people.values()}) == len(set(people.values()))
        assert all(len(p.name) <= 100 and len(p.email) <= 254 for p in people.values())

    def test_long_and_empty_messages_keep_what_they_have(self, odd: Path) -> None:
        history = git_history.read_history(odd)
        posts = {post.title: post for post in history.posts(history.users())}
        assert posts[odd_repository.LONG[:300].rstrip()].body == odd_repository.LONG
        assert posts["first"].body == "with a body"
        assert posts["a\x1eb\x1fc"].body == "d"
        assert history.notes["empty message"] == 2

    def test_a_hook_of_another_repository_does_not_mislead_it(
        self, odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = odd_repository.empty(tmp_path / "other")
        monkeypatch.setenv("GIT_DIR", str(other / ".git"))
        assert git_history.read_history(odd).commits

    def test_more_than_one_chunk_and_one_batch(self, tmp_path: Path) -> None:
        repository = odd_repository.long(tmp_path / "long.git", commits=12_345, people=10)
        found = answers("memory://", repository)
        assert (found.people, found.commits) == (10, 12_345)
        assert found.by_author[0] == ("Person 0", 1_235)

    def test_no_repository_is_told_in_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="not a git repository"):
            git_history.read_history(tmp_path)


class TestByHand:
    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, git_history.__file__, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)

    def test_it_tells_who_wrote_what_and_hides_control_characters(self, odd: Path) -> None:
        ran = self.run(odd, "memory://")
        assert ran.returncode == 0, ran.stderr
        assert "32 people wrote 36 commits" in ran.stdout
        assert "\x1b" not in ran.stdout

    def test_it_leaves_others_data_alone(self, odd: Path, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'kept.db'}"
        assert self.run(odd, url, "--keep").returncode == 0
        again = self.run(odd, url)
        assert again.returncode == 1
        assert "name an empty one" in again.stderr
        with connect(url, entities=[User, Post]) as db:
            assert db.counts(User, Post) == [32, 36]
