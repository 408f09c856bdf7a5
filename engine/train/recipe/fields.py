"""The settings of a run: names, defaults, bounds, and a docstring each.

Knows no model, machine or file. Names are those of transformers, TRL and PEFT where these have
one. `auto`, and 0 where its docstring says so, leave the decision to `engine.train.choosing`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import cast

from engine.train.recipe.describing import AUTO, RecipeField, Value, setting

METHODS = ("sft", "text", "dpo", "kto")
PREFERENCE = ("dpo", "kto")
SFT_LOSSES = ("nll", "dft")
DPO_LOSSES = ("sigmoid", "hinge", "ipo", "robust", "apo_zero", "apo_down", "sigmoid_norm")
KTO_LOSSES = ("kto", "apo_zero_unpaired")
TRACKERS = ("tensorboard", "wandb", "trackio")
ATTENTION = (
    AUTO,
    "sdpa",
    "eager",
    "flex_attention",
    "flash_attention_2",
    "flash_attention_3",
    "kernels-community/flash-attn2",
    "kernels-community/vllm-flash-attn3",
)
_METRIC = r"eval_loss|suite:\S.*"
_NUMBERED = r".+=\d+(\.\d+)?"
_STEPS = 10_000_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings of one run. Each field explains itself in `RECIPE_FIELDS`."""

    method: str = setting(
        "sft",
        "What is learned: answers, plain text, or preferences. sft: answers to prompts; text: "
        "plain running text (continued pre-training); dpo: to prefer one answer to another; kto: "
        "from answers marked good or bad.",
        choices=METHODS,
        group="Method",
        usual=True,
    )
    loss_type: str = setting(
        AUTO,
        "Formula of the loss. auto is nll for sft and text, sigmoid for dpo, kto for kto. "
        f"sft and text take {', '.join(SFT_LOSSES)}; dpo takes {', '.join(DPO_LOSSES)}; kto "
        f"takes {', '.join(KTO_LOSSES)}.",
        choices=(AUTO, *SFT_LOSSES, *DPO_LOSSES, *KTO_LOSSES),
        group="Method",
    )
    beta: float = setting(
        0.1,
        "How strongly a preference run is held to its base. Higher stays closer to it. "
        "Used by dpo and kto only.",
        low=1e-6,
        high=100.0,
        group="Method",
    )
    desirable_weight: float = setting(
        1.0,
        "Weight of good answers in kto. With few good and many bad ones, raise it until both "
        "sides count alike.",
        low=0.0,
        high=1000.0,
        group="Method",
    )
    undesirable_weight: float = setting(
        1.0, "Weight of bad answers in kto.", low=0.0, high=1000.0, group="Method"
    )
    test_size: float = setting(
        0.1,
        "Share held out, where no split is recorded. The held-out rows measure what was learned "
        "rather than remembered; 0 leaves nothing to judge a run by.",
        low=0.0,
        high=0.9,
        group="Data",
        usual=True,
    )
    max_length: int = setting(
        0,
        "Rows longer than this many tokens are cut at the end, and listed. 0 is the longest row, "
        "so that nothing is cut which the model can hold.",
        low=0,
        high=1_000_000,
        words="0, or a whole number from 8 to 1000000",
        group="Data",
        usual=True,
    )
    packing: bool | str = setting(
        AUTO,
        "Several rows laid end to end in one sequence, none seeing another. Saves all padding "
        "where attention can skip between rows, which needs a GPU and a flash kernel; auto packs "
        "only there.",
        switch=True,
        group="Data",
    )
    train_sampling_strategy: str = setting(
        AUTO,
        "Order of the rows. group_by_length puts rows of similar length in a batch, which wastes "
        "no padding and trains up to three times as fast; random mixes freely; auto groups "
        "unless rows are packed.",
        choices=(AUTO, "group_by_length", "random"),
        group="Data",
    )
    leave_out: bool = setting(
        False,
        "Train without rows that would teach nothing. Otherwise they stop the run before it "
        "starts, so that none is lost in silence.",
        group="Data",
    )
    add_tokens: tuple[str, ...] = setting(
        (),
        "New tokens, as <tool>. They join the vocabulary and their embeddings are trained, alone "
        "among those of the base; they are kept with the adapter.",
        group="Data",
    )
    num_train_epochs: float = setting(
        3.0,
        "Passes over the training rows, unless max_steps or max_tokens say when to end. Past "
        "about five most runs remember rows instead of learning from them.",
        low=0.01,
        high=1000,
        group="Length",
        usual=True,
    )
    max_steps: int = setting(
        -1,
        "Optimizer steps in all; -1 counts epochs instead.",
        low=-1,
        high=_STEPS,
        group="Length",
        usual=True,
    )
    max_tokens: int = setting(
        0,
        "Tokens seen in all, prompts included; 0 counts epochs or steps instead.",
        low=0,
        high=10**13,
        group="Length",
    )
    max_minutes: float = setting(
        0.0,
        "Minutes of training after which a run saves and ends, pauses not counted; 0 is no "
        "limit. The rate does not know how long a run will last: use a constant "
        "lr_scheduler_type with it.",
        low=0.0,
        high=1_000_000,
        group="Length",
        usual=True,
    )
    per_device_train_batch_size: int = setting(
        8, "Rows in one forward pass.", low=1, high=4096, group="Length", usual=True
    )
    gradient_accumulation_steps: int = setting(
        1,
        "Forward passes summed into one optimizer step. Doubling it and halving the batch is the "
        "same mathematics in about half the memory.",
        low=1,
        high=4096,
        group="Length",
    )
    patience: int = setting(
        0,
        "Evaluations without improvement after which a run saves and ends; 0 never.",
        low=0,
        high=10_000,
        group="Length",
    )
    patience_metric: str = setting(
        "eval_loss",
        "What must improve for patience: eval_loss, or suite:NAME for a suite of the recipe.",
        pattern=_METRIC,
        words="eval_loss or suite:NAME",
        group="Length",
    )
    r: int = setting(
        16,
        "LoRA rank: how much an adapter can hold. 16 holds a style or a habit, 64 and more a "
        "field of knowledge; the best learning rate hardly depends on it.",
        low=1,
        high=1024,
        group="LoRA",
        usual=True,
    )
    lora_alpha: int = setting(
        32,
        "LoRA scale; the update is multiplied by lora_alpha / r. Best left at 32: the prior for "
        "the learning rate was measured there.",
        low=1,
        high=8192,
        group="LoRA",
        usual=True,
    )
    lora_dropout: float = setting(
        0.0,
        "Share of inputs dropped before the adapter. 0.05 is usual with few rows; 0 is fastest.",
        low=0.0,
        high=0.9,
        group="LoRA",
    )
    target_modules: tuple[str, ...] = setting(
        ("all-linear",),
        "Layers that get an adapter: all-linear, or names as q_proj,v_proj. All linear layers "
        "learn more than attention alone at the same rank.",
        group="LoRA",
    )
    rank_pattern: tuple[str, ...] = setting(
        (),
        "Another rank for modules whose name ends as a pattern says, as down_proj=64. Patterns "
        "are regular expressions; the first that fits counts.",
        pattern=_NUMBERED,
        words="a list as down_proj=64,layers.0.*=4",
        group="LoRA",
    )
    alpha_pattern: tuple[str, ...] = setting(
        (),
        "Another lora_alpha for modules whose name ends as a pattern says, as down_proj=64.",
        pattern=_NUMBERED,
        words="a list as down_proj=64,layers.0.*=4",
        group="LoRA",
    )
    use_rslora: bool = setting(
        False,
        "Scale by lora_alpha / sqrt(r) instead: steadier at high rank. Updates grow by sqrt(r), "
        "so the learning rate wants to be smaller.",
        group="LoRA",
    )
    use_dora: bool = setting(
        False,
        "DoRA: the adapter also learns the length of each weight row. A little better at low "
        "rank, clearly slower; such an adapter is exported merged before it can chat.",
        group="LoRA",
    )
    learning_rate: float = setting(
        0.0,
        "Peak learning rate; 0 takes the prior for the model's family and size. LoRA usually "
        "wants 1e-4 to 1e-3, ten times a full fine-tune's.",
        low=0.0,
        high=1.0,
        group="Optimiser",
        usual=True,
    )
    loraplus_lr_ratio: float = setting(
        0.0,
        "LoRA+: how many times faster the B matrices learn than the A; 0 is off, 16 is usual.",
        low=0.0,
        high=1024,
        words="0, or a number from 1 to 1024",
        group="Optimiser",
    )
    lr_scheduler_type: str = setting(
        "cosine",
        "How the rate falls after warm-up. cosine and linear end at zero; constant stays.",
        choices=("linear", "cosine", "constant", "constant_with_warmup"),
        group="Optimiser",
        usual=True,
    )
    warmup_steps: float = setting(
        0.0,
        "Steps over which the rate rises to its peak; below 1 it is a share of all steps.",
        low=0,
        high=1_000_000,
        group="Optimiser",
        usual=True,
    )
    weight_decay: float = setting(
        0.0,
        "Decay of adapter weights. It matters little for LoRA: 0 and 0.1 end within noise.",
        low=0.0,
        high=10.0,
        group="Optimiser",
    )
    max_grad_norm: float = setting(
        1.0,
        "Gradients longer than this are scaled down; 0 turns it off.",
        low=0.0,
        high=1e6,
        group="Optimiser",
    )
    optim: str = setting(
        AUTO,
        "Optimizer. The 8-bit ones save memory on a GPU and run on nothing else; the paged one "
        "lends to main memory when the GPU is full.",
        choices=(AUTO, "adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit"),
        group="Optimiser",
    )
    seed: int = setting(
        42,
        "Seed of adapter weights, order, dropout and split. The same seed on the same machine "
        "gives the same run.",
        low=0,
        high=2**31,
        group="Optimiser",
    )
    load_in_4bit: bool | str = setting(
        AUTO,
        "QLoRA: hold the frozen base in 4-bit NF4. A quarter of the memory, somewhat slower; "
        "auto takes it only where the dense base does not fit.",
        switch=True,
        group="Machine",
        usual=True,
    )
    bnb_4bit_use_double_quant: bool = setting(
        True, "Quantise the scales of the 4-bit blocks as well.", group="Machine"
    )
    dtype: str = setting(
        AUTO,
        "Precision of the base and of arithmetic; adapters are always float32.",
        choices=(AUTO, "float32", "bfloat16"),
        group="Machine",
    )
    attn_implementation: str = setting(
        AUTO,
        "Attention kernel. sdpa is torch's own; the flash ones need a GPU and their package; "
        "kernels-community ones download code from the Hub at first use, so auto never takes "
        "them.",
        choices=ATTENTION,
        group="Machine",
    )
    gradient_checkpointing: bool | str = setting(
        AUTO,
        "Recompute activations instead of keeping them. Much less memory, 20 to 30 % slower; "
        "auto turns it on only where memory needs it.",
        switch=True,
        group="Machine",
    )
    threads: int = setting(
        0,
        "CPU threads; 0 takes OMP_NUM_THREADS, else a core for every 8M parameters.",
        low=0,
        high=1024,
        group="Machine",
    )
    devices: int = setting(
        1,
        "GPUs that share the run, or processes on a CPU. The rows of an optimizer step stay the "
        "same ones and are shared out, so the run learns what it would on one.",
        low=0,
        high=64,
        group="Machine",
    )
    eval_steps: int = setting(
        0, "Steps between evaluations; 0 makes about twelve a run.", low=0, high=_STEPS,
        group="Watching", usual=True,
    )  # fmt: skip
    save_steps: int = setting(
        0, "Steps between checkpoints; 0 makes four a run.", low=0, high=_STEPS, group="Watching",
        usual=True,
    )  # fmt: skip
    save_total_limit: int = setting(
        8,
        "Newest checkpoints kept; the best one and pinned ones are kept beside them. 0 keeps all.",
        low=0,
        high=100_000,
        group="Watching",
    )
    keep_best: str = setting(
        "eval_loss",
        "What makes a checkpoint the best: eval_loss, or suite:NAME for a suite of the recipe.",
        pattern=_METRIC,
        words="eval_loss or suite:NAME",
        group="Watching",
    )
    suites: tuple[str, ...] = setting(
        (),
        "Check suites run at every evaluation and checkpoint: names, or files.",
        group="Watching",
    )
    retention_suite: str = setting(
        "",
        "Check suite of what the base could do already. A warning comes when it falls; empty "
        "checks nothing.",
        words="a suite's name or file, or nothing",
        group="Watching",
    )
    probes: tuple[str, ...] = setting(
        (),
        "Prompts answered during training; none takes three from the held-out rows.",
        group="Watching",
    )
    probe_steps: int = setting(
        0,
        "Steps between sample answers; 0 answers at every evaluation.",
        low=0,
        high=_STEPS,
        group="Watching",
    )
    probe_tokens: int = setting(
        64,
        "Longest sample answer, in tokens; 0 turns them off.",
        low=0,
        high=4096,
        group="Watching",
    )
    report_to: tuple[str, ...] = setting(
        (),
        "Trackers that get the metrics too, each through its own library. Nothing leaves the "
        "machine unless one is named here.",
        pattern="|".join(TRACKERS),
        words=f"a list of {', '.join(TRACKERS)}",
        group="Watching",
    )


RECIPE_FIELDS: tuple[RecipeField, ...] = tuple(
    RecipeField(name=f.name, default=cast(Value, f.default), **f.metadata) for f in fields(Recipe)
)
BY_NAME = {item.name: item for item in RECIPE_FIELDS}
GROUPS = tuple(dict.fromkeys(item.group for item in RECIPE_FIELDS))
