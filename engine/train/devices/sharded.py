"""State of a run whose base is spread over GPUs (heavy): put together to be saved, spread again.

With FSDP2 every process holds a slice of each adapter matrix and of its moments. A checkpoint holds
them whole and under the names and numbers of a run on one device, so that it can be merged, and
resumed on another number of devices.

Written from torch.distributed's documentation; it has not run on GPUs yet. Knows DTensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.distributed.tensor import DTensor, distribute_tensor


@dataclass(frozen=True, slots=True)
class WholeState:
    """Trained weights by name, and the optimizer's state as `state_dict` has it, on the CPU."""

    weights: dict[str, torch.Tensor]
    optimizer: dict[str, Any]


def gather(model: torch.nn.Module, optimizer: Any) -> WholeState:
    """Put everything together; every process must call it."""
    weights = {
        name: _whole(value) for name, value in model.named_parameters() if value.requires_grad
    }
    state = optimizer.state_dict()
    moments = {
        number: {name: _whole(value) for name, value in kept.items()}
        for number, kept in state["state"].items()
    }
    return WholeState(weights, {**state, "state": moments})


def scatter(model: torch.nn.Module, optimizer: Any, state: dict[str, Any]) -> None:
    """Give every process its slice of the moments, laid out as the parameter is."""
    del model
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    spread = {
        number: {name: _slice(value, parameters[number]) for name, value in kept.items()}
        for number, kept in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": spread})


def _whole(value: Any) -> Any:
    if isinstance(value, DTensor):
        value = value.full_tensor()
    return value.detach().cpu() if isinstance(value, torch.Tensor) else value


def _slice(value: Any, parameter: torch.Tensor) -> Any:
    if not isinstance(parameter, DTensor) or not isinstance(value, torch.Tensor):
        return value
    if value.shape != parameter.shape:
        return value  # The count of steps.
    device = parameter.device_mesh.device_type
    return distribute_tensor(value.to(device), parameter.device_mesh, parameter.placements)
