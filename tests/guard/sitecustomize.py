"""Refuses and records every connection that would leave this machine, in each Python process that has this folder on
PYTHONPATH. The record is the file that POSEBOOK_GUARD_LOG names: one line a refusal.

Python's own sockets only: what a compiled library opens by itself is not seen.
"""

import ipaddress
import os
import socket
import sys

NAMES = ("", "localhost", socket.gethostname().lower())
TO_ADDRESS = ("socket.connect", "socket.sendto", "socket.sendmsg")
LOOK_UP = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")


def leaves(host: object) -> bool:
    host = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host.lower() not in NAMES


def guard(event: str, arguments: tuple) -> None:
    if event in TO_ADDRESS and arguments[0].family in (socket.AF_INET, socket.AF_INET6) and arguments[1]:
        host = arguments[1][0]
    elif event in LOOK_UP:
        host = arguments[0]
    else:
        return
    if leaves(host):
        line = f"{event} to {host} from {' '.join(sys.argv[:3]) or 'python'}"
        with open(os.environ["POSEBOOK_GUARD_LOG"], "a") as log:
            log.write(line + "\n")
        raise PermissionError(f"posebook runs offline: refused {line}")


sys.addaudithook(guard)
