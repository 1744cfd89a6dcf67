"""No function of the library, public or private, answers a problem while its set is checked, whole or in its heart.

Every function is called with every fitting choice of a problem's arguments and of what a student could make of them;
what comes out is compared with the right result and with the step that the problem is about.
"""

import inspect
import itertools
import math
import pkgutil
import random
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import pytest
import torch
from scipy import signal
from torch import Tensor

import posebook
from posebook import theory
from posebook.checks import PROBLEMS, mates, trial, withheld
from posebook.geometry import Camera
from posebook.grid import Grid
from posebook.grouping import Peaks
from posebook.results import read

MODULES = [m.name for m in pkgutil.iter_modules(posebook.__path__)
           if not m.ispkg and m.name not in ("draw", "models", "_triton")]  # pictures and networks take long
MODULES += [f"theory.{m.name}" for m in pkgutil.iter_modules(theory.__path__)]  # what is public there has two names
FUNCTIONS = {
    f"posebook.{module.partition('.')[0] if hasattr(theory, name) else module}.{name}": function
    for module in MODULES for name, function in vars(import_module(f"posebook.{module}")).items()
    if inspect.isfunction(function) and function.__module__ == f"posebook.{module}"
}
FUNCTIONS |= {name: trial.resolve_name(name) for p in PROBLEMS.values() for name in p.own if name not in FUNCTIONS}
MOST = 1_500  # calls of a function for a problem: all choices of arguments, or so many of them at random


@dataclass(frozen=True, eq=False)
class For:
    """What a student could make for the parameter of that name, where it is neither a tensor nor a number."""

    name: str
    value: object


def picture(d: int, g: int) -> dict:
    """A category of one picture with d detections, by falling score, and g people."""
    pose = {"image_id": 1, "category_id": 1, "keypoints": [10, 10, 2, 90, 90, 2]}
    truth = {"images": [{"id": 1}], "annotations": [pose | {"id": k + 1, "area": 6400} for k in range(g)],
             "categories": [{"id": 1, "keypoints": ["head", "foot"]}]}
    category, = read(truth, [pose | {"score": 1 - k / 100} for k in range(d)], sigmas=(0.1, 0.1))
    return {"category": category, "people": category.people, "ignored": np.zeros((1, g), bool)}


def maps(z: Tensor, tau: float = 1.0) -> list[Tensor]:
    """What a map of logits can be made into, also for functions that want anchors, bins or a raw heatmap."""
    h, w = z.shape[-2:]
    raised = z - z.amax((-2, -1), keepdim=True) + 58 * tau
    prob = (z / tau).flatten(-2).softmax(-1).unflatten(-1, (h, w))
    return [z, z / tau, raised, prob, prob.log(), z.flatten(-2), cells(h, w), torch.zeros(h * w, 2).to(z),
            prob.sum(-2).log(), prob.sum(-1).log()]


def cells(h: int, w: int) -> Tensor:
    return torch.cartesian_prod(torch.arange(h), torch.arange(w)).flip(-1).double()


def numbers(*values: float) -> list[float]:
    """Those and their inverses; a radius that reaches over the whole map, and a beta that picks the highest cell."""
    return [*dict.fromkeys(x for v in values for x in (v, 1 / v if v else v)), 1.0, 2.0, 9, 60.0]


def of(name: str) -> tuple[list, list]:
    """Things to call with, and results that must not come out: the answer, its parts and its heart."""
    p, rng = PROBLEMS[name], torch.Generator().manual_seed(0)
    z = 3 * torch.randn(2, 4, 5, generator=rng, dtype=torch.float64)
    xy = 20 * torch.rand(2, 3, 2, generator=rng, dtype=torch.float64)
    grid, hw, stride, tau = Grid(4, 1.5), (4, 5), 4.0, 0.7
    cameras = [Camera.look_at((x, 0, -3), (0, 0, 0), focal=500, hw=(480, 640)) for x in (-1, 0, 2)]
    corners = torch.tensor([[0, 0], [1, 0.1], [1.2, 1], [0, 0.9], [0.4, 0.3]]).double()
    slant = torch.tensor([[30, 4, 20], [-3, 25, 40], [0.3, 0.2, 1]]).double()
    if name in ("decode_argmax", "refine_dark"):
        z = torch.exp(z / 6)
    skeleton = 20 * torch.rand(3, 17, 2, generator=rng, dtype=torch.float64)
    skeleton[:, 12], skeleton[:, 6] = skeleton[:, 11], skeleton[:, 5]  # hips and shoulders: their middles are the pair
    args = {
        "decode_argmax": (z, stride, 1.5), "refine_dark": (z,), "soft_argmax": (z, stride, tau, 1.5),
        "entropy_cov": (z, tau), "argmax_error_stats": (5.0, "round"), "border_bias": (1.3, 1.9),
        "asymmetry_bias": (1e-3, 1.7, tau), "fuse": (xy, 0.5 + torch.rand(2, 3, generator=rng).double()),
        "anchor_decode": (z[0], 8 * xy[0, :1] + cells(1, 5), z.flatten()[:40].view(4, 5, 2)),
        "flip_back": (z, ((0, 1),), stride), "gaussian_heatmap": (xy[0], hw, 1.3, stride, 1.5),
        "simcc_targets": (xy[0] / 5, hw, 2.0, 1.3),
        "integral_loss": (z[None], xy[:1, :2], torch.tensor([[True, False]]), stride, tau, 1.5),
        "hybrid_loss": (z[None], xy[:1, :2], xy[1:, :2], torch.tensor([[True, False]]), stride, 0.5),
        "local_peaks": (z[0], 0.5, 3), "group_tags": (z[:, :, :3], z[..., 3] > -9, 5.0),
        "crop_points": (xy, (3.5, 2.5, 11.0, 37.0), (64, 48)), "ae_loss": (z, z[..., 0] > -3, 8.0),
        "paf_score": (z, xy[0, 0] / 7, xy[0, 1] / 7, 5),
        "oks": (xy, xy + 1, torch.tensor([[2, 0, 1], [1, 2, 2]]), 50 + 50 * torch.rand(2, generator=rng).double(),
                torch.tensor([0.05, 0.1, 0.2]).double()),
        "match": (torch.tensor([[0.7, 0.6, 0.2], [0.9, 0.65, 0.1], [0.8, 0.6, 0.55], [0.3, 0.2, 0.1]]).double(), 0.5),
        "rot90_points": (xy, 1, 48, 64), "c4_average": (torch.cat((xy, xy + 1)), 48, 64),
        "dropout_moments": (z, torch.linspace(0.5, 1.3, 5).double(), 0.3),
        "expected_oks": (2500.0, 0.1, z[0, :2, :2] @ z[0, :2, :2].mT + torch.eye(2)),
        "masked_loss": (z[None], (z + xy[0, 0, 0])[None], z[None].sigmoid()), "loss_noise_std": (z, z**2 / 9, 0.3),
        "clip_moments": (0.7,), "conformal_radius": (z.flatten().abs(), 0.2),
        "triangulate": (torch.stack([c.project(xy[0, 0].new_tensor([0.1, 0.2, 0.4])) for c in cameras]),
                        torch.stack([c.matrix for c in cameras])),
        "homography": (corners, (p_ := corners @ slant[:, :2].T + slant[:, 2])[:, :2] / p_[:, 2:]),
        "average_precision": (torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]), torch.tensor([1, 0, 1, 1, 0]) > 0, 7),
        "normalize_skeleton": (skeleton, torch.ones(3, 17, dtype=torch.bool), 11, (11, 5)),
        "bootstrap_gap": (torch.tensor([0.9] * 3 + [0.1] * 12 + [0.3] * 6).double(), torch.arange(21) < 15,
                          torch.arange(21) // 3, 2000, 7),
        "one_euro": (xy[..., 0].flatten(), 30.0, 1.2, 0.05),
    }[name]
    want = p.reference(*trial._copy(args))
    results = [want, *(want if isinstance(want, tuple) else ())]
    pool = [*args, *numbers(*(a for a in args if type(a) is float)), "hard", "soft", "round", "floor"]
    if name in ("decode_argmax", "soft_argmax", "integral_loss"):
        pool += [grid, *maps(z, tau)]
    if name in ("entropy_cov", "hybrid_loss", "refine_dark"):
        pool += [Grid(4), *maps(z, tau if name == "entropy_cov" else 1.0)]
    if name in ("decode_argmax", "soft_argmax"):
        results += [(want - 1.5) / stride]
    if name in ("integral_loss", "hybrid_loss"):
        truth, of_all = (args[1], args[4:]) if name == "integral_loss" else (args[2], ())
        soft = PROBLEMS["soft_argmax"].reference(z[None], stride, *of_all)
        pool += [soft, args[2] if name == "integral_loss" else args[3]]
        results += [soft, (soft - 1.5) / stride, soft / stride, (soft - truth).abs().sum(-1)]
    if name == "hybrid_loss":
        results += [(args[1] - soft).abs().sum(-1), (args[1] - truth).abs().sum(-1)]
    if name in ("gaussian_heatmap", "simcc_targets"):
        ones = torch.stack((args[0][:, 0], torch.zeros(3)), -1)
        pool += [(args[0] - 1.5) / stride, 2 * args[0], 2 * ones, (1, 10), (8, 10), grid]
    if name == "simcc_targets":
        bump = torch.exp(-((torch.arange(10) - 2 * args[0][:, :1]) ** 2) / (2 * 1.3**2))
        results += [bump, bump[:, None]]
    if name == "fuse":
        estimates, v = args
        pool += [v[..., None, None] * torch.eye(2), torch.diag_embed(v.movedim(0, -1)), v[..., None].expand(2, 3, 2),
                 torch.diag_embed(v.movedim(0, -1).repeat_interleave(2, -1)), 1 / v]
        pool += [torch.diag_embed(v[..., None].expand(2, 3, 2) ** -1)]
    if name == "border_bias":
        pool += [torch.tensor(a).double() for a in args]
    if name == "local_peaks":
        around = torch.nn.functional.pad(z[0], (1, 1, 1, 1), value=-math.inf).unfold(0, 3, 1).unfold(1, 3, 1).flatten(2)
        results += [around[..., [0, 1, 2, 3, 5, 6, 7, 8]].amax(-1)]
    if name == "group_tags":
        tags, valid, _ = args
        pool += ["greedy", For("peaks", Peaks(torch.zeros(*valid.shape, 2), torch.ones(valid.shape), valid))]
    if name == "crop_points":
        results += [37 / 64]
    if name == "match":
        values = {"d": np.arange(4).repeat(3), "g": np.tile(np.arange(3), 4), "value": args[0].numpy().flatten(),
                  "thresholds": np.array([0.5])}
        pool += [For(*item) for item in (picture(4, 3) | values).items()]
        pool += [For("cost", -args[0].numpy()), For("limit", -0.49)]
        results += [want[None, None]]
    if name == "average_precision":
        hits = np.array([[0, -1, 1, 2, -1]])
        curve = [1.0] * 15 + [0.75] * 28 + [0.0] * 58
        pool += [For(*item) for item in (picture(5, 7) | {
            "match": hits, "ignored": np.zeros(7, bool), "outside": np.zeros(5, bool)}).items()]
        results += [torch.tensor(curve)[None].double()]
    if name in ("rot90_points", "c4_average"):
        x, y = args[0].unbind(-1)
        results += [torch.stack((63 - x, y), -1), torch.stack((63 - x, 47 - y), -1)]  # mirrored, turned upside down
    if name == "dropout_moments":
        pool += [args[0] * args[1]]
        results += [pool[-1], pool[-1].square().sum(-1)]
    if name == "expected_oks":
        pool += [5.0]  # kappa
    if name == "masked_loss":
        pool += [torch.ones(1, 2, 4, 5) > 0, (z - args[1][0])[None].square(), args[2] > 0.5]
        results += [pool[-2], pool[-2].mean((-2, -1)), (args[2] * pool[-2]).mean((-2, -1)), pool[-2][pool[-1]].mean()]
    if name == "loss_noise_std":
        pool += [(z - z**2 / 9).square()]
        results += [pool[-1], want / 0.3, (want / 0.3)**2]
    if name == "clip_moments":
        results += [want[0] + 1, want[1]**2]
    if name == "triangulate":
        pool += [For("cameras", cameras), For("views", [0, 1, 2]), torch.eye(2).double()]
        pool += [want.new_tensor([0.2, 0.1, 0.3])]  # a first guess
    if name == "homography":
        x, y, one, zero = *corners.T, torch.ones(5), torch.zeros(5)
        rows = [torch.stack((x, y, one, zero, zero, zero, -u * x, -u * y, -u), 1) for u in args[1].T]
        rows = torch.cat((rows[0], rows[1][:, [3, 4, 5, 0, 1, 2, 6, 7, 8]]))
        pool += [For("refine", True), For("names", ("src", "dst"))]
        results += [want / want.norm(), rows, rows[:, :8]]
    if name == "normalize_skeleton":
        length = (skeleton[:, 11] - skeleton[:, 5]).norm(dim=-1)
        results += [length, length.mean(), skeleton - skeleton[:, 11:12]]
    if name == "bootstrap_gap":
        pool += [1]
        results += [torch.tensor([2.7, 0.3, 0.3, 0.3, 0.3]).double()]  # what each person brings
    if name == "one_euro":
        pool = [*args, 1.0]  # few, so that all choices are tried
        x = args[0].numpy()
        speed = signal.lfilter([a := 1 / (1 + 30 / (2 * math.pi))], [1, a - 1], 30 * np.diff(x, prepend=x[:1]))
        results += [torch.from_numpy(speed), a, p.reference(args[0], 30.0, 1.2, 0.0)]
    if name == "flip_back":
        results += [z.flip(-1)[[1, 0]], p.reference(z, (), stride)]  # to mirror alone is one call in torch as well
        pool += [20, Grid(4)]
    return pool, results


def fits(value: object, kind: object) -> bool:
    """Whether a value may stand where this annotation is."""
    words = str(kind)
    if isinstance(value, (bool, For)) or kind is bool:
        return False
    if isinstance(value, Tensor):
        return "Tensor" in words
    if isinstance(value, Grid):
        return "Grid" in words
    if isinstance(value, tuple):
        return ("tuple[float" if isinstance(value[0], float) else "tuple[int") in words
    if isinstance(value, str):
        return "str" in words
    return "float" in words or "int" in words and "tuple" not in words and float(value).is_integer()


def calls(function, pool: list):
    """Choices of arguments."""
    choices = []
    for parameter in inspect.signature(function).parameters.values():
        fitting = [v for v in pool if fits(v, parameter.annotation)]
        fitting += [v.value for v in pool if isinstance(v, For) and v.name == parameter.name]
        if "int" in str(parameter.annotation) and "tuple" not in str(parameter.annotation):
            fitting = [int(v) if isinstance(v, float) else v for v in fitting]
        if parameter.default is not inspect.Parameter.empty:
            fitting = [parameter.default, *fitting]
        choices.append([(parameter, v) for v in fitting])
    if math.prod(map(len, choices)) <= MOST:
        return itertools.product(*choices)
    rng = random.Random(0)
    return ([rng.choice(fitting) for fitting in choices] for _ in range(MOST))


def flat(value: object) -> list[Tensor]:
    """The numbers in a result, part by part."""
    if isinstance(value, tuple):
        return [*(part for item in value for part in flat(item))]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return [torch.tensor(float(value), dtype=torch.float64)]
    if isinstance(value, Tensor) or isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return [torch.as_tensor(value).double()]
    return [part for item in vars(value).values() for part in flat(item)] if hasattr(value, "__dict__") else []


def answers(function, pool: list, results: list[Tensor]) -> bool:
    """Whether a call gives one of the results that was not among its arguments."""
    for chosen in calls(function, pool):
        given = [v for parameter, v in chosen if parameter.kind is not inspect.Parameter.KEYWORD_ONLY]
        named = {parameter.name: v for parameter, v in chosen if parameter.kind is inspect.Parameter.KEYWORD_ONLY}
        try:
            out = function(*given, **named)
        except Exception:
            continue
        for part in flat(out):
            for want in results:
                if same(part, want) and not any(same(v, want) for _, v in chosen if isinstance(v, Tensor)):
                    return True
    return False


def same(a: Tensor, b: Tensor) -> bool:
    """Alike to four digits of the largest number: a small one is no twin of every other small one."""
    if a.shape != b.shape or a.numel() == 0:
        return False
    return torch.allclose(a.double(), b, rtol=1e-4, atol=1e-5 * min(1.0, b.abs().nan_to_num(0, 0, 0).max().item()))


@pytest.mark.parametrize("name", PROBLEMS)
def test_no_function_of_the_library_answers_a_problem(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a string may be taken for a file's name
    pool, results = of(name)
    results = [part for want in results for part in flat(want) if part.abs().max() > 1e-6]
    twin = PROBLEMS[name].own[0]
    assert answers(FUNCTIONS[twin], pool, results), f"the search does not even find {twin}: give it better arguments"
    with trial._refused(withheld(mates(name))):
        found = {path for path, function in FUNCTIONS.items() if answers(function, pool, results)}
    assert not found, f"{name}: switch off, in `own`: {', '.join(sorted(found))}"
