"""Files that hold weights and checkpoints: safetensors, which run no code of their author, whole or not at all."""

import hashlib
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
    write_tensors(path, tensors, {"net": run["net"], "run": run, "sha256": _digest(tensors)})


def resume(path: str | Path, net: nn.Module, optimizer: Optimizer, run: dict) -> list[float]:
    """Bring net and optimizer to where the checkpoint left them; returns the losses so far.

    Raises:
        ValueError: a file that is cut short or damaged, or that another net or another run wrote.
    """
    tensors, about = read_tensors(path)
    weights = {name.removeprefix("net."): t for name, t in tensors.items() if name.startswith("net.")}
    if "run" in about:
        _same_run(path, about, run)
    _fit(path, net, weights, about)
    if "sha256" not in about:
        raise ValueError(f"{path}: of an older posebook; delete it to start anew")
    if about["sha256"] != _digest(tensors):
        raise ValueError(f"{path}: damaged, what it holds is not what was written; delete it to start anew")
    net.load_state_dict(weights)
    state: dict[int, dict[str, Tensor]] = {}
    for name in tensors:
        if name.startswith("optimizer."):
            _, i, part = name.split(".")
            state.setdefault(int(i), {})[part] = tensors[name]
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return tensors["losses"].tolist()


def _same_run(path: str | Path, about: dict, run: dict) -> None:
    """What a checkpoint says about itself is this run."""
    for name, value in run.items():
        if about.get("run", {}).get(name) != value:
            _args.fail("checkpoint", f"one of this run, {name} {value}", f"{about.get('run', {}).get(name)} in {path}")


def _digest(tensors: dict[str, Tensor]) -> str:
    """A sum over names, dtypes, shapes and values: safetensors has none."""
    parts = hashlib.sha256()
    for name in sorted(tensors):
        t = tensors[name].detach().cpu().contiguous()
        parts.update(f"{name} {t.dtype} {tuple(t.shape)} ".encode() + t.reshape(-1).view(torch.uint8).numpy().tobytes())
    return parts.hexdigest()


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
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            return tensors, json.loads((file.metadata() or {}).get("posebook", "{}"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: cut short, or no safetensors file ({error}); delete it to start anew") from None


def _fit(path: str | Path, net: nn.Module, tensors: dict[str, Tensor], about: dict) -> None:
    """The tensors are those of such a net: their names and shapes."""
    mine, theirs = ({name: tuple(t.shape) for name, t in all.items()} for all in (net.state_dict(), tensors))
    if mine != theirs:
        wrong = next(name for name in (*mine, *theirs) if mine.get(name) != theirs.get(name))
        raise ValueError(f"{path}: holds the weights of {about.get('net', 'something else')}, not of this "
                         f"{type(net).__name__}: {wrong} is {theirs.get(wrong, 'missing')} there, "
                         f"{mine.get(wrong, 'missing')} here")  # fmt: skip
