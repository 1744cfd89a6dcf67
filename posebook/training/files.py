"""Files that hold weights and checkpoints: safetensors, which run no code of their author, whole or not at all."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from posebook import _args, _files


def save_weights(net: nn.Module, path: str | Path, *, note: dict | None = None) -> None:
    """Write the net's weights at half precision, and a note (what JSON can hold) on how they were made."""
    half = {name: t.half() if t.is_floating_point() else t for name, t in net.state_dict().items()}
    write_tensors(path, half, {"net": type(net).__name__, "note": note or {}})


def load_weights(net: nn.Module, path: str | Path) -> dict:
    """Read weights into the net; returns the note.

    Raises:
        ValueError: a file that is cut short, or that holds another net's weights.
        FileNotFoundError: no such file.
    """
    tensors, about = read_tensors(path)
    _fit(path, net, tensors, about)
    net.load_state_dict(tensors)
    return about["note"]


def save_checkpoint(path: str | Path, net: nn.Module, optimizer: Optimizer, run: dict, losses: list[float]) -> None:
    """Write what :func:`resume` needs to go on with a run."""
    tensors = {f"net.{name}": t for name, t in net.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": t for name, t in state.items()}
    tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
    write_tensors(path, tensors, {"net": run["net"], "run": run})


def resume(path: str | Path, net: nn.Module, optimizer: Optimizer, run: dict) -> list[float]:
    """Bring net and optimizer to where the checkpoint left them; returns the losses so far.

    Raises:
        ValueError: a file that is cut short, or that another net or another run wrote.
    """
    tensors, about = read_tensors(path)
    weights = {name.removeprefix("net."): t for name, t in tensors.items() if name.startswith("net.")}
    _fit(path, net, weights, about)
    for name, value in run.items():
        if about.get("run", {}).get(name) != value:
            _args.fail("checkpoint", f"one of this run, {name} {value}", f"{about.get('run', {}).get(name)} in {path}")
    net.load_state_dict(weights)
    state: dict[int, dict[str, Tensor]] = {}
    for name in tensors:
        if name.startswith("optimizer."):
            _, i, part = name.split(".")
            state.setdefault(int(i), {})[part] = tensors[name]
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return tensors["losses"].tolist()


def write_tensors(path: str | Path, tensors: dict[str, Tensor], about: dict) -> None:
    """All of the file or none of it: tensors by name, and what JSON can hold about them."""
    held = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    _files.write(path, save(held, {"posebook": json.dumps(about)}))


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """The tensors by name, and what the file says about them.

    Raises:
        ValueError: a file that is cut short, or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors, about = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path}: cut short, or no safetensors file ({error}); delete it to start anew") from None
    return tensors, json.loads(about.get("posebook", "{}"))


def _fit(path: str | Path, net: nn.Module, tensors: dict[str, Tensor], about: dict) -> None:
    """The tensors are those of such a net: their names and shapes."""
    mine, theirs = ({name: tuple(t.shape) for name, t in all.items()} for all in (net.state_dict(), tensors))
    if mine != theirs:
        wrong = next(name for name in (*mine, *theirs) if mine.get(name) != theirs.get(name))
        raise ValueError(f"{path}: holds the weights of {about.get('net', 'something else')}, not of this "
                         f"{type(net).__name__}: {wrong} is {theirs.get(wrong, 'missing')} there, "
                         f"{mine.get(wrong, 'missing')} here")  # fmt: skip
