"""Open the port that leads to the proxy (``proxy.py``), hand it out of the sandbox, and become the program.

Run as a script inside, by ``python -I -S -c TEXT SOCKET PORT COMMAND…``; it imports little. SOCKET is one
half of a pair, whose other half the proxy holds. The port belongs to the sandbox's own loopback, but whoever
holds the socket answers on it, and that is the proxy. Nothing of this is left when the command begins: it
finds a port, and no unix socket.
"""

from __future__ import annotations

import _socket  # starts faster than what is built on it
import os
import struct
import sys


def main() -> None:
    """Hand the port over, then run the command that was given."""
    pair = _socket.socket(fileno=int(sys.argv[1]))
    port = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    port.bind(("127.0.0.1", int(sys.argv[2])))
    port.listen(128)
    number = struct.pack("i", port.fileno())
    pair.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, number)])
    port.close()
    pair.close()
    os.execvp(sys.argv[3], sys.argv[3:])


if __name__ == "__main__":
    main()
