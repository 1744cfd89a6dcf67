"""The sandbox: what an untrusted kernel may see, use and reach."""


class SandboxError(RuntimeError):
    """No sandbox that contains anything can be had here; the text says what to install or change."""


def probe() -> None:
    """Make sure, once a process, that the sandbox contains.

    Raises:
        SandboxError: it does not, or bubblewrap is missing.
    """
    raise NotImplementedError
