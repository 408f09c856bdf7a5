"""(heavy) The adapter on the weights that training held, or on the base's own: which to export.

Knows both models' distributions and losses. Writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.export.proof.yardstick import Yardstick
from engine.export.stages import Stage
from store.errors import Unsupported

NAME = "merge"
_SURE = 2.0
"""Standard errors from which a difference of losses is no chance."""


def compare_bases(
    yardstick: Yardstick, say: Callable[[Stage], None], *, alone: bool = False
) -> Stage | None:
    """Measure the faithful merge against the one on the base's own weights.

    Args:
        say: hears the stage while it runs.
        alone: the adapter is not merged: its user chooses the base.
    Returns:
        A stage for a reader's choice, which never fails: KL and top-1 of the original merge from
        the model as chatted, both held-out losses, and one sentence on which to take. None where
        training held the base's own weights, so that there is nothing to choose.
    """
    if yardstick.original is yardstick.trained:
        return None
    try:
        text, advice, numbers = _measured(yardstick, say)
    except Unsupported as error:
        return Stage(NAME, "pass", f"not measured: {error.message}")
    if alone:
        advice = "that is how it answers on any other file of the base"
    return Stage(NAME, "pass", f"{text}; {advice}", numbers)


def _measured(
    yardstick: Yardstick, say: Callable[[Stage], None]
) -> tuple[str, str, dict[str, float]]:
    """What was measured in words, what it means for a merge, and the numbers."""
    samples = yardstick.chosen(fitted=False)

    def tell(done: int, total: int) -> None:
        numbers = {"done": float(done), "total": float(total)}
        text = f"the adapter on the base's own weights: {done:,} of {total:,} tokens read"
        say(Stage(NAME, "running", text, numbers))

    say(Stage(NAME, "running", "putting the adapter on the base's own weights, to compare"))
    [found] = yardstick.compare(samples, yardstick.original, [yardstick.trained], tell)
    measured = found.numbers()
    numbers = {key: measured[key] for key in ("kl_mean", "top1", "positions")}
    worth = yardstick.worth(samples)
    if worth:
        numbers["share_lost"] = measured["kl_mean"] / worth
    text = f"the original weights move it by KL {measured['kl_mean']:.2g}"
    advice = "take faithful: it is the model you chatted with"
    if "loss_export" in measured:
        faithful, original = measured["loss_trained"], measured["loss_export"]
        numbers |= {"loss_faithful": faithful, "loss_original": original}
        text += f", held-out loss {faithful:.4f} faithful, {original:.4f} original"
        if faithful - original > _SURE * measured["loss_error"]:
            advice = (
                "original answers held-out rows better beyond chance, but is not what you "
                "chatted with: take it only if you check it again"
            )
    return text, advice, numbers
