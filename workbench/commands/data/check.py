"""`workbench data` commands that look through a model's eyes: preview."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.commands.data.base import File, RowOption, app, opened
from workbench.output import JsonOption, WorkspaceOption, emit

if TYPE_CHECKING:
    from engine.render.renderer import Rendered


@app.command()
def preview(
    file: File,
    row: RowOption,
    model: Annotated[
        str, typer.Option("--model", metavar="REF", help="Model whose template and tokens.")
    ] = "starter",
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=1, metavar="N", help="Cut after N tokens.")
    ] = None,
    workspace: WorkspaceOption = None,
    json: JsonOption = False,
) -> None:
    """Show the token ids and the loss mask of one row, exactly as training sees them."""
    from engine.models.refs import resolve
    from engine.render.renderer import Renderer
    from store.errors import BadInput, Unsupported

    with opened(file, workspace) as (document, cat):
        resolved = resolve(cat, model)
        if resolved.base is None:
            raise Unsupported(
                f"{model}: a GGUF file has no template that can be trained with",
                "preview with the model folder or the run that the file was made from",
            )
        found = document.row(row)
        if found.error is not None:
            raise BadInput(f"{document.path}: {found.error}", "repair the row, or delete it")
        try:
            rendered = Renderer.load(resolved.base).render_row(found, max_length=max_length)
        except BadInput as error:
            raise BadInput(f"{document.path}: {error.message}", error.hint) from None
        result = {
            "row": row,
            "model": resolved.label,
            "ids": rendered.ids,
            "mask": rendered.mask,
            "tokens": rendered.tokens,
            "trained_tokens": rendered.trained_tokens,
            "cut": rendered.cut,
            "text": rendered.text,
            "notes": list(rendered.notes),
        }
        emit(result, json, _token_lines(rendered))


def _token_lines(rendered: Rendered) -> Iterator[str]:
    width = max((len(str(token)) for token in rendered.ids), default=1)
    for token, mask, text in zip(rendered.ids, rendered.mask, rendered.tokens, strict=True):
        yield f"{'▌' if mask else ' '} {token:>{width}}  {text!r}"
    yield f"{len(rendered.ids)} tokens, {rendered.trained_tokens} trained (▌), {rendered.cut} cut"
    yield from rendered.notes
