"""How a network runs and learns: its number format, the parameters that are trained, their weight decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from monai.inferers.inferer import Inferer
from torch import Tensor, nn

from training.datasets.errors import InputError


class AutocastInferer(Inferer):
    """Run the network in bfloat16 where that is faster: on GPUs, and on processors with AMX.

    Bfloat16 keeps float32's range, so no loss scaling is needed.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the network's output; a tensor is float32 again, for metrics know no bfloat16."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.enabled):
            output = network(inputs, *args, **kwargs)
        return output.float() if isinstance(output, Tensor) else output


def bfloat16_is_fast() -> bool:
    """Say whether this machine multiplies matrices faster in bfloat16 than in float32."""
    return torch.cuda.is_available() or bool(torch.cpu._is_amx_tile_supported())


def parameter_groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Split the parameters for AdamW: no weight decay on biases and norm layers."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def frozen(network: nn.Module, names: Iterable[str]) -> nn.Module:
    """Return a network after keeping the weights of its named parts (``encoder.layer1``) as they are.

    Raises
    ------
    InputError
        If it has no such part.
    """
    for name in names:
        try:
            network.get_submodule(name).requires_grad_(False)
        except AttributeError as error:
            raise InputError(f"--frozen {name}: {type(network).__name__} has no such part") from error
    return network
