"""What the Export room says of stages, jobs, proofs and sizes, without a screen."""

from __future__ import annotations

from engine.export.stages import Stage
from screens.export.ledger import divergence
from screens.export.picture import Point, picture
from screens.export.progress import Progress
from screens.export.proof import stage_lines


def test_a_running_stage_has_a_bar_and_long_words_hang() -> None:
    lines = stage_lines(
        [
            Stage("write", "running", "writing tensor 5 of 10", {"done": 5, "total": 10}),
            Stage("end", "warn", "word " * 20),
            Stage("new\x1bstage", "pass", "[/b]"),
        ],
        50,
    )
    plain = [line.plain for line in lines]
    assert plain[0].startswith("▸ write") and plain[1].strip() == "━" * len(plain[1].strip())
    assert plain[2].startswith("! end to end") and plain[3].startswith(" " * 18 + "word")
    assert "[/b]" in plain[-1] and "\x1b" not in plain[-1]


def test_a_job_of_two_files_shows_the_one_whose_turn_it_is_in_full() -> None:
    progress = Progress("export of run:1@240", ("q8_0", "q4_k_m"), 0.0)
    for stage in (
        Stage("base", "pass", "as recorded"),
        Stage("write", "pass", "47 tensors", of="q8_0"),
        Stage("quantise", "pass", "9 MB to 3 MB", of="q4_k_m"),
        Stage("load", "pass", "opens", of="q8_0"),
        Stage("end", "warn", "KL 0.004", {"kl_mean": 0.004, "top1": 0.981}, of="q8_0"),
        Stage("load", "running", "opening", of="q4_k_m"),
    ):
        progress.take(stage)
    plain = [line.plain.rstrip() for line in progress.lines(80)]
    assert plain[0].startswith("✓ base unchanged")
    assert "! q8_0            KL 0.004 · top-1 98.1%" in plain
    assert "q4_k_m" in plain and "▸ load            opening" in plain
    assert "2 of 2 · load" in progress.status().plain


def test_a_plot_names_its_points_and_keeps_to_its_width() -> None:
    points = [
        Point("f32", 18_000_000, 0.0, "pass"),
        Point("q8_0", 4_800_000, 3.2e-4, "pass", best=True),
        Point("q4_k_m", 2_900_000, 0.02, "warn", here=True),
        Point("\x1bq2_k", 1_900_000, 0.45),
    ]
    drawn = picture(points, 60, 14).plain.split("\n")
    assert len(drawn) == 14 and all(len(line) <= 60 for line in drawn)
    assert "★ q8_0" in "\n".join(drawn) and "● q4_k_m" in "\n".join(drawn)
    assert "\x1b" not in "".join(drawn)
    rows = {name: next(i for i, line in enumerate(drawn) if name in line)
            for name in ("q2_k", "q4_k_m", "q8_0", "f32")}  # fmt: skip
    assert rows["q2_k"] < rows["q4_k_m"] < rows["q8_0"] < rows["f32"]
    picture(points[:1], 40, 8)
    lost = Point("broken", 2_000_000, float("nan"), "fail")
    assert "broken" not in picture([*points, lost], 60, 14).plain
    assert picture([lost], 60, 14).plain == ""


def test_divergences_are_short() -> None:
    assert [divergence(value) for value in (0.0, 2.13e-8, 3.2e-4, 0.0199, 1.5)] == [
        "0", "2e-8", "0.00032", "0.02", "1.5",
    ]  # fmt: skip


def test_what_ran_before_runs_no_longer() -> None:
    progress = Progress("export of run:1", ("q8_0",), 0.0)
    progress.take(Stage("write", "running", "reading the adapter"))
    progress.take(Stage("write", "pass", "47 tensors", of="q8_0"))
    progress.take(Stage("load", "running", "opening what was written", of="q8_0"))
    told = [line.plain for line in progress.lines(80)]
    assert [line[0] for line in told] == ["✓", "▸"] and "load" in told[1]
