"""Many machines: submissions graded by the workers of a dask.distributed cluster.

The workers run the same task as local processes do, each answer in a sandbox of its own there, and return plain data;
only the client stores and records. A worker with other checks than the client's is refused.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterator

import distributed

from posebook.grading.course import CourseError
from posebook.grading.pool import TRIES, Task, attempt, work
from posebook.grading.results import checks_version

SECONDS = 60  # to find the scheduler
AHEAD = 4  # tasks of each worker that lie with the cluster: it never waits, and holds few submissions


def grade_all(tasks: list[Task], *, address: str, work: Callable[[Task], str] = work,
              security: distributed.Security | None = None) -> Iterator[tuple[Task, bool, str]]:
    """Each task as it is done: whether it was graded, and the result as JSON or what went wrong.

    A task whose worker dies goes to another one, by dask; one that is short of memory, or whose workers died again and
    again, is tried once more in the end, while no other is at work. A client that is killed leaves nothing behind that
    a later one would meet.

    Args:
        address: the scheduler's, such as ``tcp://host:8786`` or ``tls://host:8786``.
        work: a function of a module that the workers can import.
        security: certificates for ``tls://``; None for those of dask's configuration.

    Raises:
        CourseError: no scheduler there, no workers, or one that cannot grade as it would be graded here.
    """
    try:
        client = distributed.Client(address, timeout=SECONDS, security=security, set_as_default=False)
    except (OSError, TypeError, ValueError) as error:
        raise CourseError(f"--dask: want a scheduler's address, such as tcp://host:8786; {address}: {error}") from None
    with client:
        check_workers(client)
        yield from _graded(client, tasks, work)


def check_workers(client: distributed.Client) -> None:
    """Raises CourseError, in one line, where there are no workers or one of them would grade otherwise."""
    threads = client.nthreads()
    if not threads:
        raise CourseError("--dask: the scheduler has no workers: dask worker ADDRESS --nthreads 1 --nworkers auto")
    if many := [worker for worker, n in threads.items() if n != 1]:
        raise CourseError(f"--dask: want workers with one thread, started with --nthreads 1; {many[0]} has more")
    own = checks_version()
    for worker, theirs in client.run(version, on_error="return").items():
        if theirs != own:
            what = f"cannot ({theirs})" if isinstance(theirs, Exception) else f"has the version {theirs} of the checks"
            raise CourseError(f"--dask: want workers with this posebook, checks {own}; {worker} {what}")


def version() -> str:
    """On the worker: of its checks."""
    return checks_version()


def judged(task: Task, wanted: str, work: Callable[[Task], str]) -> tuple[bool | None, str]:
    """On the worker: :func:`posebook.grading.pool.attempt`, unless the worker came later and has other checks."""
    if checks_version() != wanted:
        return False, f"a worker has the version {checks_version()} of the checks, the command {wanted}"
    return attempt(work, task)


def _graded(client: distributed.Client, tasks: list[Task], work: Callable) -> Iterator[tuple[Task, bool, str]]:
    run, wanted = secrets.token_hex(8), checks_version()  # a regrade is not the task that was done before

    def submit(task: Task, count: int) -> distributed.Future:
        key = f"{task.assignment}/{task.student}/{task.submission.sha256}/{wanted}/{run}/{count}"
        future = client.submit(judged, task, wanted, work, key=key, pure=False)
        at_work[future.key] = task, count
        return future

    at_work: dict[str, tuple[Task, int]] = {}
    waiting, again = deque((task, 1) for task in tasks), deque()
    queue = distributed.as_completed(loop=client.loop)
    while True:
        room = AHEAD * max(1, len(client.nthreads()))  # workers may come and go
        while waiting and len(at_work) < room:
            queue.add(submit(*waiting.popleft()))
        if not at_work and again:
            queue.add(submit(*again.popleft()))  # in the end, one at a time
        if not at_work:
            return
        future = next(queue)
        task, count = at_work.pop(future.key)
        error = future.exception() if future.status != "finished" else None
        died = None, f"the workers that had it died: {type(error).__name__}"  # perhaps by another task of theirs
        good, text = future.result() if error is None else died
        future.release()
        if good is None and count < TRIES:
            again.append((task, count + 1))
        else:
            yield task, bool(good), text
