"""Takes memory until the kernel stops it."""

from __future__ import annotations

from protocol import emit, read_request

read_request()
emit("phase", phase="loading model")
hoard = []
while True:
    hoard.append(bytearray(b"x") * (8 << 20))
