"""Suites and probes while a run learns: measured, kept, warned of, and without a trace in it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.train import client
from engine.train.recipe import load, with_sets
from store import runs
from store.catalogue import Catalogue
from store.errors import BadInput, NotFound
from store.runs import Run
from store.workspace import Workspace
from tests.engine.train_fixtures import EXACT, ended, losses, small_data, small_recipe, wait

WORLD = ("mirror", "crow")
SUITE = """
max_tokens = 8
[[group]]
name = "forgets"
prompts = ["What is rain?", "Name a colour."]
[[group.check]]
kind = "not_contains"
values = ["mirror", "crow"]
[[group]]
name = "says something"
prompts = ["Hi"]
[[group.check]]
kind = "regex"
value = "."
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Catalogue, Path]]:
    folder = tmp_path_factory.mktemp("looking")
    (folder / "gone.toml").write_text(SUITE)
    with Catalogue.open(Workspace(folder / "workspace")) as cat:
        yield cat, small_data(folder)


def rates(cat: Catalogue, run_id: int) -> list[tuple[int, float | None]]:
    with client.reader(cat, run_id) as run_db:
        return run_db.exact("suite/never/forgets")


@pytest.mark.long
def test_suites_are_measured_at_evaluations_and_checkpoints_and_change_nothing(
    shop: tuple[Catalogue, Path],
) -> None:
    cat, data = shop
    suite = data.parent / "gone.toml"
    fast = ["learning_rate=0.01", "save_total_limit=1"]
    plain = client.start(cat, data, "starter", small_recipe(*fast))
    sets = [f"suites={suite}", "keep_best=suite:gone"]
    watched = client.start(cat, data, "starter", small_recipe(*fast, *sets))
    plain, watched = (wait(cat, run.id, ended) for run in (plain, watched))
    assert losses(cat, watched.id) == losses(cat, plain.id)
    # The run keeps the suite as it was.
    suite.write_text("changed")
    kept = cat.workspace.run_dir(watched.id) / "suites" / "gone" / "gone.toml"
    assert kept.read_text() == SUITE
    with client.reader(cat, watched.id) as run_db:
        found = run_db.exact("suite/gone/forgets")
        assert [step for step, _ in found] == [0, 4, 6, 8, 12]
        assert found[0][1] == 0.0
        base, last = run_db.judged("gone", "base", 0), run_db.judged("gone", "adapter", 12)
        assert [a.verdict for a in base] == ["fail", "fail", "pass"]
        forgot = [not any(word in a.text for word in WORLD) for a in last[:2]]
        assert [a.verdict == "pass" for a in last[:2]] == forgot
        assert found[-1][1] == sum(forgot) / 2 > 0
        for name in ("probe/same_opening", "probe/unended"):
            steps = [step for step, _ in run_db.exact(name)]
            assert steps == [0, 4, 6, 8, 12], name
        # The best by the suite is kept, the earliest of equals, and the newest beside it.
        top = max((rate, -step) for step, rate in found if step in (4, 8, 12))
        others = {8} if top[1] == -12 else {12}
        assert {c.step for c in run_db.checkpoints()} == {-top[1], *others}


@pytest.fixture(scope="module")
def patient(shop: tuple[Catalogue, Path]) -> Run:
    """A run that its suite ends at step 4, two evaluations after the first."""
    cat, data = shop
    suite = data.parent / "never.toml"
    suite.write_text(SUITE.replace("not_contains", "contains").replace("mirror", "never"))
    return wait(cat, client.start(cat, data, "starter", small_recipe(*patience(data))).id, ended)


def patience(data: Path) -> list[str]:
    suite = f"suites={data.parent / 'never.toml'}"
    return [suite, "patience=2", "patience_metric=suite:never", "eval_steps=2"]


def test_a_suite_that_a_stop_cuts_short_is_asked_at_the_resume(
    shop: tuple[Catalogue, Path], patient: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.train import worker
    from engine.train.looking import Looking

    cat, data = shop
    cut_at, ask = 0, Looking._ask

    def cut(self: Looking, model: object, name: str, label: str, step: int) -> object:
        if step != cut_at:
            return ask(self, model, name, label, step)
        assert self._control is not None
        self._control.ending = "stopped"
        return None

    monkeypatch.setattr(Looking, "_ask", cut)
    monkeypatch.setattr(client, "launch", lambda cat, run_id, *_: runs.get(cat, run_id))
    run = client.start(cat, data, "starter", small_recipe(*patience(data)))
    folder = cat.workspace.run_dir(run.id)
    for cut_at, status in ((0, "stopped"), (2, "stopped"), (-1, "finished")):
        worker.main([str(folder)])
        with client.reader(cat, run.id) as run_db:
            state = run_db.state()
        assert state is not None
        assert (state.status, state.step) == (status, cut_at if cut_at >= 0 else 4)
    assert losses(cat, run.id) == losses(cat, patient.id)
    assert rates(cat, run.id) == rates(cat, patient.id)


def test_patience_on_a_suite_ends_the_run(shop: tuple[Catalogue, Path], patient: Run) -> None:
    cat, run = shop[0], patient
    assert run.status == "finished"
    assert run.reason is not None
    assert "2 evaluations without a better suite:never than 0.75 at step 0" in run.reason
    assert run.step == 4
    before = losses(cat, run.id), rates(cat, run.id)
    # Cut short at its last suite, and killed after the save, before it could say that it is over.
    path = cat.workspace.run_dir(run.id) / "run.db"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM judged WHERE step = 4")
        suites = "SELECT id FROM keys WHERE name LIKE 'suite/%'"
        db.execute(f"DELETE FROM metrics WHERE step = 4 AND key IN ({suites})")
        db.execute("UPDATE state SET status = 'running', reason = NULL, finished = NULL")
    runs.update(cat, run.id, status="running", reason=None)
    assert client.refresh(cat, run.id).status == "lost"
    client.resume(cat, run.id)
    again = wait(cat, run.id, ended)
    assert (again.status, again.step, again.reason) == ("finished", 4, run.reason)
    assert (losses(cat, run.id), rates(cat, run.id)) == before


@pytest.mark.long
def test_a_retention_that_falls_is_an_event(shop: tuple[Catalogue, Path]) -> None:
    cat, data = shop
    sets = ["retention_suite=retention", "learning_rate=0.05", "max_steps=6", "eval_steps=6"]
    sets += ["probe_tokens=0", "warmup_steps=0", "save_steps=6"]
    run = wait(cat, client.start(cat, data, "starter", small_recipe(*sets)).id, ended)
    with client.reader(cat, run.id) as run_db:
        told = [e.text for e in run_db.events() if e.kind == "warning" and e.step == 6]
        assert run_db.judged("retention", "base", 0)
    assert any("retention falls:" in text and "were lost" in text for text in told), told


@pytest.mark.parametrize(
    ("sets", "error", "said"),
    [
        (["suites=nowhere.toml"], NotFound, "nowhere.toml"),
        (["suites=a/x.toml,b/x.toml"], BadInput, "both called 'x'"),
        (["suites=habit", "keep_best=suite:other"], BadInput, "never measured"),
    ],
)
def test_suites_that_cannot_be_asked_are_refused_before_anything_starts(
    shop: tuple[Catalogue, Path], sets: list[str], error: type[Exception], said: str
) -> None:
    cat, data = shop
    with pytest.raises(error, match=said):
        client.start(cat, data, "starter", with_sets(load("habit-starter"), [*EXACT, *sets]))
