"""One renderer: chat turns to token ids and a loss mask, for preview, training and chat alike.

Knows `tokenizers` and sandboxed `jinja2`. Does not know torch, files of rows, or recipes.
"""

from engine.render.rendered import Compact, Rendered, Span
from engine.render.renderer import Refused, Renderer

__all__ = ["Compact", "Refused", "Rendered", "Renderer", "Span"]
