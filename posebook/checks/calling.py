"""How an answer is called: in the notebook's kernel by ``check``, in the sandbox's by grading. One way for both.

Grading shows this module to the student's code, so nothing of any solution may stand here.
"""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

PATIENCE = 12  # how many times longer everything may take on a busy machine


class Told(Exception):
    """What a row says as it stands: a gradient that got lost, a library function that is the answer itself."""


class Withheld(Told):
    """A library function that answers a problem of the set was called while one of them is tried."""

    def __init__(self, name: str):
        super().__init__(f"`{name}` answers a problem of this set: write your own lines")
        self.name = name


class Moved(Told):
    """Torch's global generator was seeded or drawn from, where it has to be left alone."""

    def __init__(self):
        super().__init__("torch's global generator was seeded, or drawn from: make one of your own")


class InPlace(Exception):
    """An input that wants a gradient was changed in place."""


class Ended(BaseException):
    """No answer came, and none will: the words are the row's. Passes ``except Exception`` in an answer."""


def call(answer: Callable, args: tuple) -> object:
    """What the answer returns, cut off from its inputs."""
    return detach(answer(*args))


def quiet(answer: Callable, args: tuple) -> object:
    """As :func:`call`, of an answer that has to leave torch's global generator as it was; raises :class:`Moved`."""
    before = torch.get_rng_state()
    out = call(answer, args)
    if not torch.equal(torch.get_rng_state(), before):
        raise Moved
    return out


def vjp(answer: Callable, args: tuple, index: int, output: int, cotangent: Tensor) -> tuple:
    """One output, whether a gradient leaves it, and the gradient of <cotangent, output> in one input, or None."""
    leaf = args[index].requires_grad_()
    try:
        out = pick(answer(*args), output)
    except RuntimeError as error:
        if "in-place" in str(error) and "leaf" in str(error):
            raise InPlace from None
        raise
    flows = isinstance(out, Tensor) and out.requires_grad
    gradient = None
    if flows and out.shape == cotangent.shape and out.dtype == cotangent.dtype:
        gradient, = torch.autograd.grad(out, leaf, cotangent, allow_unused=True)
    leaf.requires_grad_(False)
    return detach(out), flows, gradient


def pick(value: object, output: int) -> object:
    return value[output] if isinstance(value, tuple) and output < len(value) else value


def detach(value: object) -> object:
    if type(value) is tuple:
        return tuple(detach(item) for item in value)
    return value.detach() if isinstance(value, Tensor) else value


@contextmanager
def time_limit(seconds: float):
    """Interrupt what takes longer: in a main thread, where there are POSIX timers.

    Waiting for a busy processor does not count, up to PATIENCE times the limit.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return
    start, before = time.monotonic(), waited()

    def interrupt(signum, frame):
        took = time.monotonic() - start
        left = seconds - took + waited() - before
        if left > 0.001 and took < PATIENCE * seconds:
            signal.setitimer(signal.ITIMER_REAL, left, 1.0)
        else:
            raise Ended(f"did not return within {seconds:g} s, and was interrupted")

    handler = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)  # again each second, for an answer that catches everything
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def waited(process: int | str = "self") -> float:
    """Seconds that a process's main thread has waited for a processor so far; 0 where the system does not say."""
    try:
        with open(f"/proc/{process}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


@contextmanager
def plain_torch():
    """Gradients on, tensors on the CPU and of float32 unless said otherwise, whatever the notebook has set."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        elsewhere = torch.get_default_device().type != "cpu"  # a device for a block slows every operation in it
        with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu") if elsewhere else nullcontext():
            yield
    finally:
        torch.set_default_dtype(dtype)
