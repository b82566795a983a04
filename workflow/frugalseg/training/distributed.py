"""One network trained by several processes, a GPU each, with the losses that one process would see.

Every process draws and augments the whole batch from the same random numbers, which is little work, and sends its
part of it through the network. Batch norms take the statistics of the whole batch, and the loss is computed of the
outputs of all, so that also a loss which is no mean over patches is the same. Gradients are added up while the
backward pass goes on (Li et al. 2020, PyTorch Distributed).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.elastic.multiprocessing.errors import record as record_error
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.nn.parallel import DistributedDataParallel

from frugalseg.runtime.logs import record

# The first process may wait for the folder of the running state while the others wait for it.
_PATIENCE = timedelta(days=1)


def launch(
    function: Callable[..., None], devices: Sequence[torch.device], log: str, /, *arguments: Any, **named: Any
) -> None:
    """Call a function with ``device=`` a device, in a process a device where there are several (as ``torchrun`` does).

    It is found by its name in a module. The first process adds what it says to the file `log`; when one fails, all are ended.
    """
    if len(devices) == 1:
        function(*arguments, device=devices[0], **named)
        return
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=len(devices),
        run_id="frugalseg",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    threads = max(1, torch.get_num_threads() // len(devices))
    elastic_launch(config, _work)(function, devices, log, threads, arguments, named)


@record_error
def _work(
    function: Callable[..., None],
    devices: Sequence[torch.device],
    log: str,
    threads: int,
    arguments: Sequence[Any],
    named: dict[str, Any],
) -> None:
    device = devices[int(os.environ["LOCAL_RANK"])]
    torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        if leads():
            record(log, append=True)
        function(*arguments, device=device, **named)
    finally:
        dist.destroy_process_group()


def processes() -> int:
    """Processes that train the network together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def leads() -> bool:
    """Whether this process is the one that writes files: the first of them, or the only one."""
    return processes() == 1 or dist.get_rank() == 0


def of_first(content: Any) -> Any:
    """What the first process has, in every process; tensors come on the CPU."""
    if processes() == 1:
        return content
    box = [content]
    dist.broadcast_object_list(box)
    return box[0]


def all_joules(joules: Mapping[str, float] | None) -> dict[str, float] | None:
    """Joules by counter of all processes; those that share a counter, as of a processor, read the same."""
    if processes() == 1:
        return dict(joules) if joules else None
    told: list[Mapping[str, float] | None] = [None] * processes()
    dist.all_gather_object(told, joules)
    return {name: value for counted in told for name, value in (counted or {}).items()} or None


class SharedNetwork(nn.Module):
    """A network in training that is the same in every process, (B, C, H, W) -> outputs of the whole batch (B, ...).

    Its batch norms are replaced by :class:`SharedBatchNorm2d`, with the same parameters. Of a recursive network every process
    keeps the states of its own part of the batch.
    """

    def __init__(self, network: nn.Module, batch: int) -> None:
        super().__init__()
        if getattr(network, "halting", 0):
            raise ValueError("halting takes images out of a batch, which several GPUs share; leave out 'halting'")
        if getattr(network, "drop", 0):
            raise ValueError("blocks are skipped image by image, which several GPUs share; set 'drop' to 0")
        if batch % processes():
            raise ValueError(
                f"a batch of {batch} patches does not divide among {processes()} GPUs; change the recipe's batch, "
                "or the resource 'gpu' of training in the profile"
            )
        _share_batch_norms(network)
        self._part = _part_of(batch)
        self._network = DistributedDataParallel(network, forward_sync_buffers=False, gradient_as_bucket_view=True)

    def forward(self, images: Tensor, state: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        if state is None:
            return gather(self._network(images[self._part])).flatten(0, 1)
        output, state = self._network(images[self._part], state)
        return gather(output).flatten(0, 1), state

    def initial_state(self, images: Tensor) -> Tensor:
        """State that the recursion of this process's part of a batch starts from."""
        return self._network.module.initial_state(images[self._part])


def predict_in_parts(predict: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Outputs of a whole batch (B, ...), of which every process computes its part; B divides among them."""
    if processes() == 1:
        return predict(images)
    return gather(predict(images[_part_of(len(images))])).flatten(0, 1)


def _part_of(batch: int) -> slice:
    """The images of a batch that this process sees."""
    return slice(dist.get_rank() * batch // processes(), (dist.get_rank() + 1) * batch // processes())


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm (B, C, H, W) by the statistics of the parts of all processes, which are equally large.

    PyTorch's own, `SyncBatchNorm`, does not run on processors, where this is tested.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        values = x.float()
        variances, means = gather(torch.stack(torch.var_mean(values, (0, 2, 3), correction=0))).unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + means.var(0, correction=0)
        self._update(mean, variance, processes() * x.numel() // x.shape[1])
        scale = self.weight / torch.sqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (values * scale[:, None, None] + shift[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _update(self, mean: Tensor, variance: Tensor, count: int) -> None:
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        self.num_batches_tracked += 1


def gather(part: Tensor) -> Tensor:
    """Tensors (...) of all processes as one (processes, ...); its gradient flows back to each."""
    return _Gather.apply(part)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        parts = [torch.empty_like(part, memory_format=torch.contiguous_format) for _ in range(processes())]
        dist.all_gather(parts, part.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # Every process computes the whole loss, so the sum is as many times too large as there are processes;
        # DistributedDataParallel takes the mean of the parameters' gradients, where it should add them up.
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[dist.get_rank()]


def _share_batch_norms(network: nn.Module) -> None:
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            shared = SharedBatchNorm2d(child.num_features, child.eps, child.momentum, device=child.weight.device)
            shared.weight, shared.bias = child.weight, child.bias
            shared.load_state_dict(child.state_dict())
            setattr(network, name, shared)
        else:
            _share_batch_norms(child)
