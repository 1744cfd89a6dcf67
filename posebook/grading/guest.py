"""What runs inside the sandbox: an IPython kernel that answers the grader's requests, one after the other.

The grader trusts nothing of this: the student's code lives in the same process and may change any of it. So there is
no secret here, and what is sent back is only ever an answer. The requests come through a socket of their own; nobody
listens to the kernel's ZeroMQ channels, so that neither forged messages nor floods of output reach the grader.
"""

import ast
import asyncio
import os
import socket
import sys
import tempfile

import torch
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel
from tornado.ioloop import IOLoop

from posebook.checks import calling
from posebook.grading import wire

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def main(descriptor: int) -> None:
    """Start a kernel that serves the socket with this file descriptor."""
    channels = os.path.relpath(tempfile.mkdtemp(dir=os.curdir))  # short, wherever that is: a socket has 107 letters
    app = IPKernelApp.instance(transport="ipc", ip=os.path.join(channels, "kernel"))
    app.initialize([])
    app.kernel.shell.ast_transformers.append(LeaveOut())
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # from here on nobody listens
    loop = IOLoop.current()
    loop.add_callback(serve, socket.socket(fileno=descriptor), app.kernel)
    app.start()
    while True:  # `exit()` in a cell stops the loop: in the notebook what was checked before counts
        loop.start()


async def serve(connection: socket.socket, kernel: Kernel) -> None:
    """Answer requests until the grader hangs up."""
    reader, writer = await asyncio.open_connection(sock=connection)
    reply: tuple = ("ready",)
    while True:
        try:
            message = wire.encode(reply)
        except Exception:  # too large, or of a kind that torch cannot take apart
            message = wire.encode(("too large",))
        writer.write(len(message).to_bytes(4, "big") + message)
        await writer.drain()
        size = int.from_bytes(await reader.readexactly(4), "big")
        request = wire.decode(await reader.readexactly(size))
        reply = await run(kernel, *request[1:]) if request[0] == "run" else answer(kernel, *request)


async def run(kernel: Kernel, source: str, seconds: float) -> tuple:
    """Run one cell as the notebook would: magics, top-level await and all."""
    LeaveOut.notes.clear()
    try:
        with calling.time_limit(seconds):
            reply = await kernel.do_execute(source, silent=False, allow_stdin=False)
    except calling.Ended:
        return ("timeout",)
    if reply["status"] == "ok":
        return ("ok", tuple(LeaveOut.notes))
    if reply.get("ename") == "Ended":
        return ("timeout",)
    return ("error", str(reply.get("ename"))[:200], str(reply.get("evalue"))[:500])


class LeaveOut(ast.NodeTransformer):
    """Leaves out the statements of a cell that need what the sandbox does not have, while the student's notebook did:
    imports of other packages, and library functions that are withheld; then whatever needs the names that they define.
    """

    lost: set[str] = set()  # names
    notes: list[str] = []  # of the cell that runs
    guard = f"try: pass\nexcept __import__({__name__!r}, fromlist=['']).LeaveOut.error(): pass"

    def visit_Module(self, module: ast.Module) -> ast.Module:
        module.body = [self.guarded(node) for node in module.body]
        return ast.fix_missing_locations(module)

    def guarded(self, node: ast.stmt) -> ast.stmt:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            return node
        outer = ast.parse(self.guard).body[0]
        outer.body = [node]
        outer.handlers[0].type.args = [ast.Constant(name) for name in sorted(bound(node))]
        for part in ast.walk(outer.handlers[0]):
            if "lineno" in part._attributes:
                ast.copy_location(part, node)
        return ast.copy_location(outer, node)

    @classmethod
    def error(cls, *names: str) -> tuple | type:
        """What to catch of the exception that a statement with these names has raised: it, or nothing."""
        error = sys.exception()
        if isinstance(error, ImportError):
            cls.notes.append(str(error)[:200])
        elif not isinstance(error, calling.Withheld) and not (isinstance(error, NameError) and error.name in cls.lost):
            return ()
        cls.lost.update(names)
        return type(error)


def bound(node: ast.stmt) -> set[str]:
    """The names that a statement defines, also within ``if``, ``with`` or ``try``."""
    found = set()
    for part in [node] if isinstance(node, DEFINITIONS) else ast.walk(node):
        if isinstance(part, DEFINITIONS):
            found.add(part.name)
        elif isinstance(part, ast.alias):
            found.add((part.asname or part.name).partition(".")[0])
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            found.add(part.id)
    return found


def answer(kernel: Kernel, what: str, name: str, seconds: float, args: tuple, *more: object) -> tuple:
    """Call one of the student's functions, or take a gradient through it."""
    function = kernel.shell.user_ns.get(name)
    if not callable(function):
        return ("missing",)
    call = {"call": calling.call, "quiet": calling.quiet, "vjp": calling.vjp}[what]
    try:
        with calling.plain_torch(), calling.time_limit(seconds):
            value = call(function, args, *more)
    except calling.Ended:
        return ("timeout",)
    except calling.InPlace:
        return ("in place",)
    except calling.Moved:
        return ("moved",)
    except calling.Withheld as error:
        return ("withheld", error.name)
    except BaseException as error:  # an answer may raise anything
        return ("raised", kind(error), bool(has_words(error)))
    return ("returned", value, args)  # what became of the arguments is seen by the grader


def kind(error: BaseException) -> str:
    """The exception's type; torch and numpy have their own ways to say that memory ran out."""
    out_of_memory = isinstance(error, RuntimeError) and "allocate memory" in str(error)
    return "MemoryError" if out_of_memory else type(error).__name__


def has_words(error: BaseException) -> bool:
    try:
        return bool(str(error).strip())
    except Exception:
        return True


torch.set_num_threads(1)  # several submissions are graded at once
