"""A preflight as it is asked for: by a model's reference and a recipe's name, here or in a scan.

Knows references, recipes, and the requests that `background` carries. Does not know how rows are
looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from engine.data.background.client import Report, Request
from store.errors import Unsupported

if TYPE_CHECKING:
    from engine.data.dataset import Dataset
    from engine.render.purposes import Method
    from engine.render.renderer import Renderer
    from store.catalogue import Catalogue


LONGEST_ROW = 1_000_000
"""Ids that are kept of a row where neither recipe nor model say a limit."""


class Preflight(Request, frozen=True, tag=True):
    """A preflight whose findings are kept. Answers with Reports: `progress`, then `preflight`.

    Attributes:
        max_length: ids of a row that are kept; None takes the recipe's.
    """

    model: str = "starter"
    recipe: str = "default"
    max_length: int | None = None


class Duplicates(Request, frozen=True, tag=True):
    """Exact duplicates alone, kept. Answers with Reports: `progress`, then `duplicates`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a preflight is made with.

    Attributes:
        label: short words for the model.
        max_length: ids of a row that training would keep: the recipe's or the model's limit.
        batch_size: rows of one optimizer step.
        method: how the recipe learns from rows.
    """

    renderer: Renderer
    label: str
    max_length: int
    batch_size: int
    method: Method = "sft"


def renderer_of(cat: Catalogue, model: str) -> tuple[Renderer, str, int]:
    """Renderer, label and context length (0: unknown) of a model reference.

    Raises:
        Unsupported: a GGUF file.
        WorkbenchError: there is no such model, or its files cannot be read.
    """
    from engine.models.folder import describe
    from engine.models.refs import resolve
    from engine.render.renderer import Renderer

    resolved = resolve(cat, model)
    folder = resolved.renderer_folder
    if folder is None:
        raise Unsupported(
            f"{model}: a GGUF file has no template that can be trained with",
            "use the model folder or the run that the file was made from",
        )
    context = describe(resolved.base).context if resolved.base is not None else 0
    return Renderer.load(folder), resolved.label, context


def prepare(cat: Catalogue, model: str, recipe: str, max_length: int | None = None) -> Asked:
    """Look up what is named.

    Raises:
        WorkbenchError: there is no such model or recipe.
    """
    from engine.train.recipe import load

    settings = load(recipe)
    renderer, label, context = renderer_of(cat, model)
    wanted = max_length or settings.max_length or context or LONGEST_ROW
    batch = settings.per_device_train_batch_size * settings.gradient_accumulation_steps
    length = min(wanted, context) if context else wanted
    return Asked(renderer, label, length, batch, cast("Method", settings.method))


def answer_preflight(cat: Catalogue, data: Dataset, asked: Preflight) -> Iterator[Report]:
    """Run it, tell how far it is, and end with the numbers."""
    from engine.data.findings import preflight
    from engine.data.findings.recorded import as_dict, run_preflight

    made = prepare(cat, asked.model, asked.recipe, asked.max_length)
    data.grow()
    for seen in run_preflight(
        cat,
        data,
        made.renderer,
        made.max_length,
        model=asked.model,
        batch_size=made.batch_size,
        method=made.method,
    ):
        if isinstance(seen, preflight.Preflight):
            yield Report(kind="preflight", progress=1.0, body=as_dict(seen))
        else:
            body = {"rows": seen.rows, "total": seen.total, "tokens": seen.tokens}
            yield Report(kind="progress", progress=seen.share, body=body)


def answer_duplicates(cat: Catalogue, data: Dataset, _asked: Duplicates) -> Iterator[Report]:
    """Run it, tell how far it is, and end with how many copies there are."""
    from engine.data.findings.recorded import run_duplicates

    data.grow()
    for seen in run_duplicates(cat, data):
        if isinstance(seen, float):
            yield Report(kind="progress", progress=seen)
        else:
            yield Report(kind="duplicates", progress=1.0, body=seen)
