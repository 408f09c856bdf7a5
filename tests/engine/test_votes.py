"""Reviews, what votes come to, and the rows that they become, on the real starter."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from engine.chat.client import Sampling
from engine.chat.protocol import Done, Failed
from engine.data.dataset import open_dataset
from engine.data.rows import Turn
from engine.votes import review as reviews
from engine.votes.landing import land, land_votes
from engine.votes.review import SAME
from engine.votes.rows import example
from engine.votes.tally import tally
from store import votes
from store.catalogue import Catalogue
from store.errors import BadInput, NotFound
from store.votes import Answer, Item, Verdict
from tests.engine.chat_fixtures import add_run, make_adapter
from workbench.cli import main

SAID = [Turn("user", "Hi"), Turn("assistant", "Hello.")]


def voted(
    cat: Catalogue, models: str, verdict: Verdict, best: int | None = None, *, blind: bool = False
) -> Item:
    """A vote on answers of the models (a letter each), a question of its own."""
    said = [Answer(model, f"I am {model}.", 3, "turn end") for model in models]
    place = len(votes.all_items(cat))
    item = votes.add_item(cat, [("user", f"Who are you? {place}")], said, {"max_tokens": 8})
    votes.vote(cat, item.id, verdict, best, blind=blind)
    return votes.item(cat, item.id)


def test_wins_are_told_whichever_side_they_were_on(cat: Catalogue) -> None:
    items = [voted(cat, "ab", "better", 1) for _ in range(5)]
    items += [voted(cat, "ba", "better", 0) for _ in range(6)]
    items += [voted(cat, "ab", "better", 0), voted(cat, "ba", "tie"), voted(cat, "ab", "bad")]
    counts = tally([*items, voted(cat, "ab", "void"), voted(cat, "ab", "withdrawn")], "ab")
    assert (counts.items, counts.judged, counts.open, counts.void) == (16, 14, 1, 1)
    (pair,) = counts.pairs
    assert (pair.model, pair.against) == ("b", "a")
    assert (pair.wins, pair.losses, pair.ties, pair.bad) == (11, 1, 1, 1)
    assert pair.rate == 11 / 12
    assert pair.sign_p == pytest.approx(26 / 2**12)  # (1 + 12) / 2^12, both sides
    assert pair.p == pytest.approx(13 * 12 / 2**12)
    assert pair.decided
    assert pair.more == 0
    assert counts.strengths == ()
    undecided = tally(items[:5], "ab").pairs[0]
    assert undecided.sign_p == pytest.approx(0.0625)
    assert not undecided.decided
    assert undecided.more == 3
    again = tally([*items[:7], items[0], items[1]], "ab").pairs[0]
    assert (again.wins, again.again, again.decided) == (7, 2, False)
    open_ = votes.add_item(cat, [("user", "?")], [Answer("a"), Answer("c")], {})
    (family,) = tally([*items[:8], open_], "abc").pairs  # another pair is still to meet
    assert (family.wins, family.decided, family.more) == (8, False, 1)


def test_more_models_are_ranked_and_one_is_good_or_bad(cat: Catalogue) -> None:
    items = [voted(cat, "ab", "better", 1) for _ in range(6)]
    items += [voted(cat, "cb", "better", 0) for _ in range(6)]
    items += [voted(cat, "abc", "better", 2)]
    counts = tally(items, "abc")
    assert [strength.name for strength in counts.strengths] == ["c", "b", "a"]
    assert {(p.model, p.against): p.wins for p in counts.pairs} == {
        ("b", "a"): 6,
        ("c", "a"): 1,
        ("c", "b"): 7,
    }
    doubles = [Answer(name, "The same." if name != "b" else "Another.") for name in "abc"]
    item = votes.add_item(cat, [("user", "?")], doubles, {})
    votes.vote(cat, item.id, "better", 0)
    same = {(p.model, p.against): p for p in tally([votes.item(cat, item.id)], "abc").pairs}
    assert (same["c", "a"].ties, same["c", "a"].losses, same["b", "a"].losses) == (1, 0, 1)
    single = tally([voted(cat, "a", "better", 0), voted(cat, "a", "bad")])
    assert (single.alone[0].good, single.alone[0].bad, single.alone[0].rate) == (1, 1, 0.5)


def test_votes_become_rows_once_and_undo_takes_them_back(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    items = [voted(cat, "ab", "better", 1, blind=True), voted(cat, "ab", "tie")]
    assert land_votes(cat, file, items).count == 1
    again = land_votes(cat, file, [*items, voted(cat, "abc", "better", 0)])
    assert (again.first, again.count, again.known) == (2, 2, 1)
    with open_dataset(cat, file) as document:
        row = document.row(1)
        assert row.purpose == "preference"
        assert [turn.text for turn in row.turns] == ["Who are you? 0", "I am b."]
        assert row.rejected[0].text == "I am a."
        noted = document.annotations(1)
        assert noted.tags == ("from-votes",)
        assert noted.note == "a chat · b over a · greedy · 8 tokens · blind"
        assert document.unsaved == 3
        assert document.undo() is not None
        assert document.count == 1
    good = tmp_path / "good.jsonl"
    singles = [voted(cat, "a", "better", 0), voted(cat, "a", "bad")]
    assert land_votes(cat, good, singles).count == 2
    with open_dataset(cat, good) as document:
        assert [document.row(n).label for n in (1, 2)] == [True, False]


@pytest.mark.parametrize(
    ("last", "key"),
    [
        ('{"instruction": "Hi", "input": "", "output": "Hello."}', "output"),
        ('{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}',
         "conversations"),
        ('{"prompt": "Hi", "completion": "Hello."}', "completion"),
        ('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}',
         "messages"),
    ],
)  # fmt: skip
def test_an_example_takes_the_shape_of_the_dataset(
    cat: Catalogue, tmp_path: Path, last: str, key: str
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(last + "\n")
    assert land(cat, file, [example(SAID, "chat 1 · starter")], "add").first == 2
    with open_dataset(cat, file) as document:
        document.save()
    added = json.loads(file.read_text().splitlines()[1])
    assert "Hello." in json.dumps(added[key])


def test_a_dataset_of_another_kind_is_refused(cat: Catalogue, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    with pytest.raises(BadInput, match="its rows are TRL: prompt, chosen, rejected"):
        land(cat, pairs, [example(SAID, "")], "add")
    with pytest.raises(NotFound, match="no such folder"):
        land(cat, tmp_path / "none" / "x.jsonl", [example(SAID, "")], "add")


def test_everybody_meets_everybody_on_either_side() -> None:
    met = reviews._meetings(["a", "b", "c"], 300, Random(1))
    assert set(Counter(frozenset(pair) for pair in met).values()) == {100}
    assert 100 < sum(pair[0] < pair[1] for pair in met) < 200
    assert reviews._meetings(["a"], 2, Random(1)) == [("a",), ("a",)]


def test_questions_are_what_comes_before_the_answer(cat: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    rows = [{"messages": turns}, {"messages": turns}, {"text": "no question"}, {"messages": []}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert reviews.of_file(cat, file, 10) == [(Turn("user", "Hi"),)]
    with pytest.raises(BadInput, match="no held-out rows"):
        reviews.held_out(cat, ["starter"], 3)


def test_a_review_from_the_command_line(
    cat: Catalogue,
    starter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Begin, judge a part, go on, take one back, export: the starter and two checkpoints."""
    made = {1: make_adapter(starter, tmp_path / "a1", scale=1.0)}
    assert add_run(cat, "starter", made) == "run:1"
    where = f"--workspace {cat.workspace.root}"

    def run(words: str, keys: str = "") -> dict[str, object]:
        monkeypatch.setattr("sys.stdin", io.StringIO(keys))
        monkeypatch.setattr("sys.argv", ["workbench", "vote", *words.split(), *where.split()])
        with pytest.raises(SystemExit) as left:
            main()
        assert left.value.code == 0
        told = capsys.readouterr()
        assert "run:1" not in told.err  # blind
        found: dict[str, object] = json.loads(told.out)
        return found

    begun = "--model starter --model run:1 --suite retention --count 4 --max-tokens 4 --json"
    first = run(begun, "1 z s 2")
    assert (first["judged"], first["open"]) == (2, 2)
    assert first["models"] == ["starter", "run:1@1"]
    item = run("1 --items --json")["list"]
    assert isinstance(item, list)
    assert sorted("model" in one["answers"][0] for one in item) == [False, False, True, True]
    rest = run("1 --json", "0 u x t")
    assert (rest["judged"], rest["open"]) == (4, 0)
    pair = rest["pairs"]
    assert isinstance(pair, list)
    assert (pair[0]["wins"] + pair[0]["losses"], pair[0]["ties"], pair[0]["bad"]) == (2, 1, 1)
    file = tmp_path / "pairs.jsonl"
    assert run(f"--export {file} --json")["rows"] == 2
    assert run(f"1 --export {file} --json")["known"] == 2
    assert len(file.read_text().splitlines()) == 2


def test_the_same_answer_is_a_tie_and_one_that_failed_is_void(cat: Catalogue) -> None:
    with pytest.raises(BadInput, match="compared with itself"):
        reviews.begin(cat, ["starter", "starter"], [(Turn("user", "Hi"),)], sampling=Sampling(4))
    held = votes.create_review(cat, "", "ab", {}, [([("user", "Hi")], "ab")] * 3)
    first, second, third = votes.items(cat, held.id)
    said = [Done(1, place, "", "Hello.", [1], 1, 0.1, 0.1, "turn end") for place in (0, 1)]
    reviews._keep(cat, first, said)
    reviews._keep(cat, second, [said[0], Failed(1, "too long", "", 1)])
    reviews._keep(cat, third, [said[0], None])  # stopped before the other was asked
    first, second, third = votes.items(cat, held.id)
    assert first.vote is not None
    assert (first.vote.verdict, first.vote.note) == ("tie", SAME)
    assert second.vote is not None
    assert (second.vote.verdict, second.vote.note) == ("void", "too long")
    assert not third.answered
