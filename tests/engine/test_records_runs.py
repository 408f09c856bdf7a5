"""Real runs: repeated bit for bit, refused where rows or base are others, compared, sent on."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import engine
from bench.nursery import Nursery
from engine.jobs import process
from engine.records import origin
from engine.records.comparing import compare
from engine.records.reproducing import outcome, reproduce
from engine.train import client
from engine.train import spec as specs
from engine.train.trackers import settings_of
from store.catalogue import Catalogue
from store.errors import Conflict, NotFound, Unsupported
from store.rundb import RunWriter
from store.runs import Run
from store.workspace import Workspace
from tests.engine.train_fixtures import ended, small_data, small_recipe, wait
from workbench.cli import app

pytestmark = pytest.mark.long

SIX = ("max_steps=6", "save_steps=3", "eval_steps=2", "probe_tokens=4", "load_in_4bit=false")


class Shop:
    """One workspace, one base that may be spoilt, one dataset, workers that start at once."""

    def __init__(self, cat: Catalogue, data: Path, base: Path) -> None:
        self.cat, self.data, self.base = cat, data, base

    def run(self, *sets: str) -> Run:
        recipe = small_recipe(*SIX, *sets)
        started = client.start(self.cat, self.data, str(self.base), recipe)
        return self.wait(started)

    def wait(self, run: Run) -> Run:
        return wait(self.cat, run.id, ended)

    def cli(self, *words: str) -> Any:
        done = CliRunner().invoke(
            app, [*words, "--workspace", str(self.cat.workspace.root), "--json"]
        )
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, starter: Path) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    shutil.copytree(starter, folder / "base")
    nursery = Nursery()
    with pytest.MonkeyPatch.context() as patch, Catalogue.open(Workspace(folder / "ws")) as cat:
        patch.setattr(process, "spawn", nursery.spawn)
        yield Shop(cat, small_data(folder), folder / "base")
    nursery.close()


@pytest.fixture(scope="module")
def first(shop: Shop) -> Run:
    return shop.run()


def test_a_run_keeps_what_it_takes_to_repeat_it(shop: Shop, first: Run) -> None:
    found = origin.read(shop.cat.workspace.run_dir(first.id))
    assert found is not None
    (data,) = found.data
    assert (data.path, data.bytes) == (str(shop.data), shop.data.stat().st_size)
    assert found.asked["learning_rate"] == small_recipe(*SIX).learning_rate
    assert {"config.json", "tokenizer.json"} <= found.base_files.keys()
    shown = shop.cli("show", str(first.id))
    assert shown["seed"] == 42 and shown["base_sha256"] and shown["template_sha256"]
    assert shown["versions"]["torch"] and shown["machine"]["cpu"] and shown["reason"]
    assert shown["origin"]["argv"] and shown["split"]["by"] == "hash"


def test_a_repeat_is_the_same_to_the_last_bit(shop: Shop, first: Run) -> None:
    written = shop.cat.workspace.run_dir(first.id) / specs.FILE
    kept = written.read_bytes()
    spec = json.loads(kept)
    spec["versions"]["torch"] = "1.0"
    written.write_text(json.dumps(spec))
    told = shop.cli("reproduce", str(first.id))
    written.write_bytes(kept)
    assert told["repeats"] == first.id and told["status"] == "finished"
    found = told["outcome"]
    assert found["identical"] and found["adapter"]["equal"] and found["adapter"]["step"] == 6
    by_name = {item["metric"]: item for item in found["metrics"]}
    assert by_name["loss"]["equal"] == by_name["loss"]["steps"] == 6
    assert by_name["eval_loss"]["equal"] == 4 and "tokens_per_second" not in by_name
    (other,) = [item for item in told["differing"] if item["name"] != "Workbench"]
    assert (other["name"], other["then"]) == ("torch", "1.0")
    side_by_side = shop.cli("compare", str(first.id), str(told["run"]))
    assert side_by_side["settings"] == {} and side_by_side["data"] == {}
    assert side_by_side["repeats"][str(told["run"])]["identical"]


def test_a_repeat_of_a_fork_begins_where_the_fork_began(shop: Shop, first: Run) -> None:
    fork = shop.wait(client.fork(shop.cat, first.id, 3, ["learning_rate=1e-4"]))
    again = shop.wait(reproduce(shop.cat, fork.id).run)
    found = outcome(shop.cat, fork, again)
    assert found.identical and found.step == 6
    other = outcome(shop.cat, first, fork)
    assert not other.identical and other.adapter is not None and other.adapter.largest > 0
    loss = next(item for item in other.metrics if item.metric == "loss")
    assert loss.equal >= 3 and loss.largest is not None and loss.largest > 0
    shutil.rmtree(shop.cat.workspace.run_dir(fork.id) / "checkpoints" / "step-000003")
    with pytest.raises(NotFound, match="began from step 3"):
        reproduce(shop.cat, fork.id)


def test_other_rows_or_another_base_are_refused_by_name(shop: Shop, first: Run) -> None:
    folder = shop.cat.workspace.snapshots / str(first.snapshot)
    for path, words in (
        (folder / "train.jsonl", r"train\.jsonl: the run's frozen rows were altered"),
        (folder / "meta.json", r"meta\.json: the snapshot was altered"),
        (shop.base / "config.json", r"config\.json was altered since run"),
        (shop.base / "model.safetensors", "its weights differ"),
    ):
        kept = path.read_bytes()
        path.write_bytes(kept[:-2] + b" " + kept[-1:])
        with pytest.raises(Conflict, match=words):
            reproduce(shop.cat, first.id)
        path.write_bytes(kept)
    (folder / "train.jsonl").rename(folder / "away")
    with pytest.raises(NotFound, match="rows are gone"):
        reproduce(shop.cat, first.id)
    (folder / "away").rename(folder / "train.jsonl")


def test_a_difference_is_weighed_against_the_seeds(shop: Shop, first: Run) -> None:
    hot = shop.run("learning_rate=0.05")
    found = compare(shop.cat, [first.id, hot.id])
    assert list(found.settings) == ["learning_rate"] and found.data == {}
    assert found.judgements[hot.id].answer == "unknown"
    assert any("cannot know" in line for line in found.words)
    for seed in (1, 2):
        shop.run(f"seed={seed}")
    found = compare(shop.cat, [first.id, hot.id])
    judged = found.judgements[hot.id]
    assert judged.answer in ("larger", "within") and "from 3 runs" in judged.text
    results = found.results["eval_loss"]
    assert results[0] and results[1] and results[0]["best"] != results[1]["best"]
    page = shop.cli("report", str(hot.id), "--html")["text"]
    assert page.count("<svg") > 6 and "learning_rate" in page and "A · base" in page


def test_a_tracker_that_is_not_here_is_refused_before_the_start(shop: Shop) -> None:
    count = len(client.refresh(shop.cat))
    gone = [n for n in ("wandb", "trackio") if importlib.util.find_spec(n) is None]
    for name in gone:
        with pytest.raises(Unsupported, match=f"report_to={name}") as refused:
            shop.run(f"report_to={name}")
        assert f"pip install {name}" in refused.value.hint
    assert len(client.refresh(shop.cat)) == count


TRACKER = """
import json, os, sys
class _Run:
    def log(self, values, step):
        if os.environ.get("TRACKIO_BREAKS") and step >= 2:
            raise ConnectionError("no route to api_key=letmein")
        with open(os.environ["TRACKIO_DIR"] + "/got", "a") as file:
            file.write(json.dumps([step, values]) + "\\n")
    def finish(self):
        open(os.environ["TRACKIO_DIR"] + "/done", "w").close()
def init(**settings):
    print("noise on standard output")
    with open(os.environ["TRACKIO_DIR"] + "/settings", "w") as file:
        json.dump(settings, file)
    return _Run()
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of trackio's shape that writes down what it gets, or breaks."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "trackio.py").write_text(TRACKER)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))
    return tmp_path


def feed(shop: Shop, run: Run, folder: Path, begin: int = -1, **env: str) -> list[str]:
    """Send a finished run by the tracker's own process; what it said."""
    run_dir = shop.cat.workspace.run_dir(run.id)
    root = str(Path(engine.__file__).parent.parent)
    paths = os.pathsep.join([root, str(folder / "lib")])
    done = subprocess.run(
        [sys.executable, "-m", "engine.train.trackers", str(run_dir), "trackio", str(begin)],
        env={**os.environ, "PYTHONPATH": paths, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == (1 if env else 0), done.stderr
    return [json.loads(line)["text"] for line in done.stdout.splitlines()]


def test_a_tracker_gets_every_number_once(shop: Shop, first: Run, stand_in: Path) -> None:
    (said,) = feed(shop, first, stand_in)
    assert "trackio gets the metrics" in said and (stand_in / "done").exists()
    got = [json.loads(line) for line in (stand_in / "got").read_text().splitlines()]
    steps = [step for step, _ in got]
    assert steps == sorted(set(steps)) == [0, 1, 2, 3, 4, 5, 6]
    with client.reader(shop.cat, first.id) as run_db:
        assert {step: v["loss"] for step, v in got if "loss" in v} == dict(run_db.exact("loss"))
    told = json.loads((stand_in / "settings").read_text())["config"]
    assert told["learning_rate"] == first.recipe["learning_rate"]
    assert "probes" not in told and str(shop.data) not in json.dumps(told)
    feed(shop, first, stand_in, begin=6)  # Nothing is new.
    assert len((stand_in / "got").read_text().splitlines()) == len(got)


def test_a_tracker_that_breaks_costs_an_event_and_no_step(
    shop: Shop, first: Run, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_BREAKS", "1")
    run = shop.run("report_to=trackio")
    assert outcome(shop.cat, first, run).identical
    with client.reader(shop.cat, run.id) as run_db:
        events = [event for event in run_db.events() if event.kind == "tracker"]
    assert len([event for event in events if event.level == "warn"]) <= 1
    warned = feed(shop, run, stand_in, TRACKIO_BREAKS="1")
    assert "nothing more" in warned[-1] and "letmein" not in warned[-1]


def test_tensorboard_gets_the_curves(shop: Shop, first: Run, tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run_dir = tmp_path / "1"
    shutil.copytree(shop.cat.workspace.run_dir(first.id), run_dir)

    def send(begin: int) -> None:
        words = [sys.executable, "-m", "engine.train.trackers", str(run_dir), "tensorboard"]
        words.append(str(begin))
        root = str(Path(engine.__file__).parent.parent)
        env = {**os.environ, "PYTHONPATH": root}
        subprocess.run(words, env=env, stdin=subprocess.DEVNULL, check=True, capture_output=True)

    send(-1)
    with RunWriter.open(run_dir / "run.db") as writer:  # A resume takes back two steps.
        writer.rewind(4)
        for step in (5, 6, 7):
            writer.metrics(step, {"loss": 9.0})
    send(4)
    read = events.EventAccumulator(str(run_dir / "tensorboard"))
    read.Reload()
    points = {event.step: event.value for event in read.Scalars("loss")}
    assert sorted(points) == [1, 2, 3, 4, 5, 6, 7] and points[5] == points[7] == 9.0
    assert len(read.Scalars("eval_loss")) == 3


def test_settings_for_a_tracker_hold_no_text_of_the_user(shop: Shop, first: Run) -> None:
    spec = specs.read(shop.cat.workspace.run_dir(first.id))
    told = settings_of(spec, "hf_abcdefghijklmnopqrstuvwx")
    assert "hf_" not in told["name"] and told["base"] == "base" and "report_to" not in told
