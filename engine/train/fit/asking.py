"""Whether a run would fit and how long it would take, without starting it.

Knows how a run begins: its rows, its recipe, the engine's choices. Leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from engine.data.dataset import open_dataset
from engine.data.split.snapshot import drop_unused, take
from engine.machine.facts import Gpu, Machine, this_machine
from engine.models import refs
from engine.models.folder import ModelFolder
from engine.render import Renderer
from engine.train.choosing import Choice, budget, choose, readable, refuse
from engine.train.counted import DataFacts
from engine.train.fit.estimate import Estimate, estimate
from engine.train.fit.shape import folder_of
from engine.train.recipe import Recipe
from engine.train.teaching import refuse_what_teaches_nothing
from store.catalogue import Catalogue
from store.errors import BadInput, Unsupported

_BYTES_PER_TOKEN = 4
"""Of a line of JSON, where there is no tokenizer to ask."""
_TRAINED_SHARE = 0.5
_MODERN = (9, 0)
_OLD = {"T4": (7, 5), "V100": (7, 0)}


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found.

    Attributes:
        room: bytes that the run may plan with on its device.
        guessed: the model has no tokenizer, and lengths are guessed from bytes.
    """

    model: ModelFolder
    recipe: Recipe
    choices: tuple[Choice, ...]
    machine: Machine
    data: DataFacts
    estimate: Estimate
    room: int
    guessed: bool

    @property
    def fits(self) -> bool:
        """Whether the estimate is within the room."""
        return self.estimate.peak_bytes <= self.room


class Elsewhere(Machine):
    """A machine with a GPU that is not this one."""

    @property
    def device(self) -> str:
        """Where a run would go there."""
        return "cuda"


def machine_with(gpu: str) -> Machine:
    """This machine as if it had a GPU, given as `NAME:GB`, e.g. `4090:24`.

    Raises:
        BadInput: no such form.
    """
    name, _, size = gpu.rpartition(":")
    try:
        memory = float(size)
    except ValueError:
        memory = 0.0
    if not name or not 0 < memory < 10_000:
        raise BadInput(f"--gpu {gpu}: expected NAME:GB", "For example: --gpu 4090:24")
    old = next((found for part, found in _OLD.items() if part in name), _MODERN)
    here = this_machine()
    card = Gpu(name, int(memory * 2**30), old)
    return Elsewhere(**{**asdict(here), "gpus": (card,)})


def ask(cat: Catalogue, file: str, model: str, recipe: Recipe, machine: Machine) -> Answer:
    """Look at the rows, choose as a start would, and estimate.

    Args:
        model: as for a run, or a folder with a config.json alone.
    Raises:
        WorkbenchError: what a start would refuse.
    """
    folder, described = _base(cat, model)
    refuse(recipe, described, machine)
    if (folder / "tokenizer.json").is_file():
        facts, guessed = _read(cat, file, Renderer.load(folder), readable(recipe, described)), False
    else:
        facts, guessed = _guess(cat, file, recipe), True
    chosen = choose(recipe, described, machine, facts)
    expected = estimate(chosen.recipe, described, machine, facts)
    room = budget(machine)
    return Answer(described, chosen.recipe, chosen.choices, machine, facts, expected, room, guessed)


def _base(cat: Catalogue, model: str) -> tuple[Path, ModelFolder]:
    path = Path(model).expanduser()
    alone = (path / "config.json").is_file() and not any(path.glob("*.safetensors"))
    if alone:
        return path, folder_of(path)
    base = refs.resolve(cat, model).base
    if base is None:
        raise Unsupported(
            f"model '{model}': a GGUF file cannot be trained",
            "Estimate its original: starter, hub:org/name or a folder with safetensors.",
        )
    return base, folder_of(base)


def _read(cat: Catalogue, file: str, renderer: Renderer, recipe: Recipe) -> DataFacts:
    """The rows as a run would have them; the snapshot is taken and dropped again."""
    snapshot = take(cat, file, eval_fraction=recipe.test_size, seed=recipe.seed)
    try:
        return refuse_what_teaches_nothing(file, snapshot, renderer, recipe)
    finally:
        drop_unused(cat, snapshot)


def _guess(cat: Catalogue, file: str, recipe: Recipe) -> DataFacts:
    """Rows and lengths from bytes."""
    with open_dataset(cat, file) as data:
        lengths = [max(len(raw) // _BYTES_PER_TOKEN, 1) for _, raw in data.iter_raw() if raw]
    if not lengths:
        raise BadInput(f"{file}: there is no row", "Give a file with rows to train on.")
    held = int(len(lengths) * recipe.test_size)
    rows = len(lengths) - held
    tokens = int(sum(lengths) * rows / len(lengths))
    trained = int(tokens * _TRAINED_SHARE)
    return DataFacts(rows, tokens, max(lengths), tokens / rows, trained, held)
