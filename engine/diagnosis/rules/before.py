"""What is known before step 1: the rate, the rows, the parts, the adapter.

Sources: STORIES 1 (rates 20 to 60 times under the usual, eight rows, no held-out set); axolotl and
Unsloth for the usual LoRA rates.
"""

from __future__ import annotations

from engine.diagnosis.facts import USUAL_RATES, Facts
from engine.diagnosis.rules import words
from engine.diagnosis.verdict import Verdict

FEW_ROWS, REAL_ROWS = 64, 500
HELD_OUT = 50
_FAR_OVER = 10.0
_PASSES = 10.0


def rate(facts: Facts) -> Verdict | None:
    """The rate is far from what suits a LoRA on this base."""
    value = facts.learning_rate
    if value is None or not facts.language:
        return None
    low, high = facts.suited_rates
    evidence = {
        "learning_rate": value,
        "usual_low": USUAL_RATES[0],
        "usual_high": USUAL_RATES[1],
        "suited_low": low,
        "suited_high": high,
    }
    base = f", a base {facts.hidden} wide wants {words.rate(low)}–{words.rate(high)}"
    narrow = base if facts.hidden and low > 1.2 * USUAL_RATES[0] else ""
    if value < low / 3:
        if value < USUAL_RATES[0] and facts.r:
            text = (
                f"learning rate {words.rate(value)} is {words.under_usual(value)} under the usual "
                f"{words.usual()}{narrow}"
            )
        else:
            rate_ = f"learning rate {words.rate(value)} is {words.count(low / value)}× under"
            text = f"{rate_} what suits this base, {words.rate(low)}–{words.rate(high)}"
        advice = f"Start at {words.rate(low)} to {words.rate(high)}."
        return Verdict("rate-too-low", "warn", text, evidence, advice, "learning_rate")
    if value > high * _FAR_OVER:
        text = (
            f"learning rate {words.rate(value)} is {words.count(value / high)}× over the upper end "
            f"of what suits this base, {words.rate(low)}–{words.rate(high)}"
        )
        advice = f"Start at {words.rate(low)} to {words.rate(high)}."
        return Verdict("rate-too-high", "warn", text, evidence, advice, "learning_rate")
    return None


def rows(facts: Facts) -> Verdict | None:
    """The examples are few."""
    count = facts.rows
    if count is None or count >= REAL_ROWS:
        return None
    steps = facts.epoch_steps
    evidence = {"rows": count, "steps_per_epoch": steps}
    one = "example is" if count == 1 else "examples are"
    text = f"{count:,} {one} few: a real run needs 500 to 2,000"
    if steps is not None:
        text += f" ({max(steps, 1):,.0f} steps a pass)"
    if count < FEW_ROWS:
        advice = "Expect it to learn these by heart. Write or generate more, of many kinds."
        return Verdict("few-rows", "warn", text, evidence, advice)
    return Verdict("few-rows", "info", text, evidence, "More rows, of more kinds, help most.")


def held_out(facts: Facts) -> Verdict | None:
    """No row is held out, or too few to see a difference by."""
    count = facts.held_out
    if count is None or count >= HELD_OUT:
        return None
    if count == 0:
        return Verdict(
            "no-held-out",
            "warn",
            "no row is held out: nothing will tell learning from learning by heart",
            {"held_out": 0},
            "Hold out a tenth, better 50 to 100 rows: test_size=0.1, or split the dataset.",
            "test_size",
        )
    return Verdict(
        "few-held-out",
        "info",
        f"{count} rows are held out: 50 to 100 make a difference visible",
        {"held_out": count},
        "Hold out more once there are more rows.",
        "test_size",
    )


def mask(facts: Facts) -> Verdict | None:
    """No token is trained on, or every one is."""
    trained, tokens = facts.trained_tokens, facts.tokens
    if trained is None or facts.method != "sft":
        return None
    if trained == 0:
        return Verdict(
            "mask-empty",
            "bad",
            "no token of the training rows has a loss: the mask is empty",
            {"trained_tokens": 0, "tokens": tokens},
            "Look at the loss mask in the Data room: answers must come from the assistant.",
        )
    if tokens and trained >= tokens:
        return Verdict(
            "mask-full",
            "warn",
            "every token has a loss, prompts included: the model learns to write the questions",
            {"trained_tokens": trained, "tokens": tokens},
            "Train on the assistant's turns only.",
        )
    return None


def leak(facts: Facts) -> Verdict | None:
    """Held-out rows that are copies of training rows."""
    if not facts.duplicates:
        return None
    of = f" of {facts.held_out:,}" if facts.held_out else ""
    return Verdict(
        "leak",
        "bad",
        f"{facts.duplicates:,}{of} held-out rows are exact copies of training rows",
        {"duplicates": facts.duplicates, "held_out": facts.held_out},
        "Split anew: a recorded split keeps equal rows in one part.",
        "test_size",
    )


def adapter(facts: Facts) -> Verdict | None:
    """The adapter cannot act."""
    if facts.lora_alpha == 0:
        return Verdict(
            "gradient-zero",
            "bad",
            "lora_alpha is 0: the adapter is multiplied by nothing and learns nothing",
            {"lora_alpha": 0.0, "r": facts.r},
            "32 is a good start.",
            "lora_alpha",
        )
    return None


def passes(facts: Facts) -> Verdict | None:
    """Many passes over few rows."""
    steps, total = facts.epoch_steps, facts.total_steps
    count = total / steps if steps and total else facts.num_train_epochs
    if count is None or count < _PASSES:
        return None
    return Verdict(
        "many-passes",
        "info",
        f"{count:,.0f} passes over the rows: they will be known by heart",
        {"passes": count, "rows": facts.rows},
        "2 to 4 are usual; watch the held-out loss and keep checkpoints.",
        "num_train_epochs",
    )
