"""The exact lines to copy that run an export: llama.cpp, Ollama, Python, vLLM.

Knows options and quoting, as of llama.cpp at the version that Workbench installs (common/arg.cpp).
Runs nothing itself. Other programs have other defaults for drawing answers, so those of the
model's author, or greedy ones, are spelled out.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.export import beneath, plan
from engine.export.ollama import modelfile
from engine.export.sampling import sampling_of
from engine.export.stages import Source
from engine.machine.facts import has_amx
from engine.models import refs
from engine.render.renderer import Renderer
from store.catalogue import Catalogue
from store.errors import NotFound
from store.exports import Export

PORT = 8080
_TOKENS = 256
_MESSAGES = '[{"role": "user", "content": "Hello!"}]'
_TEXT = "Once upon a time"
_FLAGS = {
    "temperature": "--temp",
    "top_p": "--top-p",
    "top_k": "--top-k",
    "min_p": "--min-p",
    "repetition_penalty": "--repeat-penalty",
}
_MISSING_BASE = Path("base.gguf")
_MERGED = "q8_0"
_PLAIN_WEIGHTS = "--no-repack"
"""Weights as they are in the file: code for AMX dies in some builds (ggml-org/llama.cpp#20824)."""
_PLAIN_WEIGHTS_PYTHON = """from llama_cpp import llama_cpp

# llama.cpp's code for this processor (AMX) may crash: ggml-org/llama.cpp#20824
options = llama_cpp.llama_model_default_params()
options.use_extra_bufts = False
llama_cpp.llama_model_default_params = lambda: options
"""
_NAMES = {"repetition_penalty": "repeat_penalty"}


@dataclass(frozen=True, slots=True)
class Lines:
    """Something to copy.

    Attributes:
        title: what it is for.
        text: one line, or several that go together.
    """

    title: str
    text: str


def lines_of(cat: Catalogue, export: Export) -> list[Lines]:
    """Everything that can be done with an export from a shell or from Python.

    Raises:
        NotFound: nothing lies there any more, or the model it came from is gone.
    """
    path = Path(export.path)
    if not path.exists():
        raise NotFound(f"{path}: is gone.", f"Make it again: workbench export {export.ref}")
    source = plan.source_of(cat, refs.whole(refs.resolve(cat, export.ref)))
    match export.kind:
        case "merged":
            return [*_merged(path, Path(source.base)), served(path)]
        case "adapter":
            return [*_adapter(path, source), served(export.ref)]
        case "adapter-gguf":
            return list(_adapter_gguf(path, source, beneath.of(cat, export, source)))
        case "ollama":
            made = _created(path, source, export.type)
            return [Lines("Ollama", made), *_gguf(path / modelfile.MODEL, source)]
    return list(_gguf(path, source))


def served(ref: str | Path) -> Lines:
    """What puts a model behind OpenAI's interface, by Workbench itself."""
    return Lines("workbench serve", _shell("workbench", "serve", ref))


def _gguf(file: Path, source: Source, adapter: Path | None = None) -> Iterator[Lines]:
    base = Path(source.base)
    context = context_for(base)
    drawn = sampling_of(base)
    options = ["-m", str(file), *(["--lora", _field(adapter)] if adapter else [])]
    chats = _chats(base)
    common = [*options, "-ngl", "99", "-c", str(context), *(["--jinja"] if chats else [])]
    common += [*_flags(drawn), *([_PLAIN_WEIGHTS] if has_amx() else [])]
    if chats:
        yield Lines("llama-cli", _shell("llama-cli", *common))
    else:
        asked = ["-no-cnv", "-n", str(_TOKENS), "-p", _TEXT]
        yield Lines("llama-completion", _shell("llama-completion", *common, *asked))
    yield Lines("llama-server", _shell("llama-server", *common, "--port", PORT))
    python = _llama_python(file, adapter, context, drawn, chats=chats)
    yield Lines("Python (llama-cpp-python)", python)
    yield served(f"{file}+{adapter}" if adapter else file)


def _chats(folder: Path) -> bool:
    """Whether the model has a chat template; others go on with text."""
    return Renderer.load(folder).template_source is not None


def context_for(base: Path) -> int:
    """Tokens to make room for: what the model can hold, within reason."""
    return min(plan.context_of(base) or modelfile.MOST_CONTEXT, modelfile.MOST_CONTEXT)


def _flags(drawn: Mapping[str, float]) -> list[str]:
    """Options of llama.cpp for drawing; greedily the others are not asked."""
    said = drawn if drawn["temperature"] else {"temperature": 0.0}
    return [word for name, value in said.items() for word in (_FLAGS[name], f"{value:g}")]


def _llama_python(
    file: Path, adapter: Path | None, context: int, drawn: Mapping[str, float], *, chats: bool
) -> str:
    call, asked, said = "model", repr(_TEXT), '["text"]'
    if chats:
        call, asked, said = "model.create_chat_completion", _MESSAGES, '["message"]["content"]'
    lora = f"    lora_path={str(adapter)!r},\n" if adapter else ""
    values = ", ".join(f"{_NAMES.get(name, name)}={value:g}" for name, value in drawn.items())
    return f"""from llama_cpp import Llama
{_PLAIN_WEIGHTS_PYTHON if has_amx() else ""}
model = Llama(
    {str(file)!r},
{lora}    n_ctx={context},
    n_gpu_layers=-1,
    verbose=False,
)
answer = {call}(
    {asked},
    max_tokens={_TOKENS},
    {values},
)
print(answer["choices"][0]{said})"""


def _merged(folder: Path, base: Path) -> Iterator[Lines]:
    yield Lines("vLLM", _shell("vllm", "serve", folder))
    yield Lines(
        "Python (transformers)",
        f"""from transformers import AutoModelForCausalLM, AutoTokenizer

folder = {str(folder)!r}
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", device_map="auto")
{_answered(base)}""",
    )


def _answered(folder: Path) -> str:
    """Python that asks `model` something; its folder says how answers are drawn and end."""
    sample = bool(sampling_of(folder)["temperature"])
    prompt = f"""prompt = tokenizer.apply_chat_template(
    {_MESSAGES},
    add_generation_prompt=True,
    return_tensors="pt",
    return_dict=True,
).to(model.device)"""
    if not _chats(folder):
        prompt = f'prompt = tokenizer({_TEXT!r}, return_tensors="pt").to(model.device)'
    return f"""{prompt}
answer = model.generate(**prompt, max_new_tokens={_TOKENS}, do_sample={sample})
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True))"""


def _adapter(folder: Path, source: Source) -> Iterator[Lines]:
    base = source.base
    grown = (folder / "tokenizer.json").is_file()
    held = f'dtype="{source.dtype}"'
    config = ""
    if source.quantization == "nf4":
        config = f"""
config = BitsAndBytesConfig(
    load_in_4bit=True,
    bnb_4bit_quant_type="nf4",
    bnb_4bit_use_double_quant={source.double_quant},
)"""
        held += ", quantization_config=config"
    names = "AutoModelForCausalLM, AutoTokenizer" + (", BitsAndBytesConfig" if config else "")
    resize = (
        """
if len(tokenizer) > model.get_input_embeddings().num_embeddings:
    model.resize_token_embeddings(len(tokenizer))"""
        if grown
        else ""
    )
    yield Lines(
        "Python (PEFT)",
        f"""from peft import PeftModel
from transformers import {names}

base = {base!r}
adapter = {str(folder)!r}
tokenizer = AutoTokenizer.from_pretrained({"adapter" if grown else "base"}){config}
model = AutoModelForCausalLM.from_pretrained(base, {held}, device_map="auto"){resize}
model = PeftModel.from_pretrained(model, adapter)
{_answered(Path(base))}""",
    )


def _adapter_gguf(file: Path, source: Source, under: Path | None) -> Iterator[Lines]:
    """An adapter needs its base as a file: what it was proved on, or the line that makes one."""
    base = under or _MISSING_BASE
    if under is None:
        ref, type = beneath.base_ref(source), source.lossless
        made = _shell("workbench", "export", ref, "--type", type, "--out", base)
        yield Lines("The base as a file, first", made)
    yield from _gguf(base, source, file)
    folder = Path(f"{modelfile.model_name(source, '').rstrip(':')}-ollama")
    merge = _shell("workbench", "export", source.ref, "--to", "ollama", "--type", _MERGED, "--out")
    made = f"{merge} {folder}\n{_created(folder, source, _MERGED)}"
    yield Lines("Ollama takes no adapters since 0.34.1: both as one file", made)


def _created(folder: Path, source: Source, type_name: str) -> str:
    name = modelfile.model_name(source, type_name)
    made = _shell("ollama", "create", name, "-f", folder / modelfile.MODELFILE)
    return f"{made}\nollama run {name}"


def _field(path: Path) -> str:
    """A path for an option that llama.cpp reads as comma-separated values."""
    text = str(path)
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text


def _shell(*words: str | int | Path) -> str:
    return shlex.join(map(str, words))
