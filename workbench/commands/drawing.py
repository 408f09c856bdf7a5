"""Options that say how an answer is drawn, of every command that asks models."""

from __future__ import annotations

from typing import Annotated

import typer

MaxTokens = Annotated[
    int, typer.Option("--max-tokens", metavar="N", min=1, max=1_000_000, help="Longest answer.")
]
Temperature = Annotated[
    float,
    typer.Option("--temperature", metavar="T", min=0, max=100, help="0 is the likeliest token."),
]
TopP = Annotated[
    float, typer.Option("--top-p", metavar="P", min=1e-6, max=1, help="Nucleus of sampling.")
]
TopK = Annotated[
    int,
    typer.Option(
        "--top-k", metavar="K", min=0, max=1_000_000, help="Draw among the K likeliest; 0: all."
    ),
]
MinP = Annotated[
    float,
    typer.Option(
        "--min-p", metavar="P", min=0, max=1, help="Least likelihood, as a share of the best."
    ),
]
RepetitionPenalty = Annotated[
    float,
    typer.Option(
        "--repetition-penalty", metavar="F", min=0.01, max=10, help="Over 1: less repetition."
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed", metavar="N", min=0, max=2**53,
        help="Repeats an answer; of a review, also its questions and sides.",
    ),
]  # fmt: skip
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="NAME", help="Sampling by name, as `workbench prompts` lists them."
    ),
]
