#!/usr/bin/env python3
"""record.py NAME ARGUMENTS...: plays the server for an ffmpeg that publishes by RTSP over TCP, and saves what both say as NAME.c2s.bin and
NAME.s2c.bin."""

import re
import socket
import subprocess
import sys

name, *arguments = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", 0))
url = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/live/a"
publisher = subprocess.Popen(["ffmpeg", "-v", "error", "-nostdin", "-bitexact", "-threads", "1", *arguments, "-f", "rtsp", "-rtsp_transport", "tcp", url])
peer, _ = listener.accept()
said, answered, at = bytearray(), bytearray(), 0


def whole(end):
    return end if end <= len(said) else None


def message():
    """Where the message or packet at `at` ends, if it is all there; requests are answered."""
    if said[at:at + 1] == b"$":
        return whole(at + 4 + int.from_bytes(said[at + 2:at + 4], "big")) if len(said) >= at + 4 else None
    head_end = said.find(b"\r\n\r\n", at)
    if head_end < 0:
        return None
    head = said[at:head_end].decode()
    length = re.search(r"Content-Length: *(\d+)", head)
    end = whole(head_end + 4 + (int(length[1]) if length else 0))
    if end:
        kept = "".join(f"{line}\r\n" for line in head.split("\r\n") if line.startswith(("CSeq:", "Transport:")))
        answer = f"RTSP/1.0 200 OK\r\n{kept}Session: 1;timeout=60\r\n\r\n".encode()
        answered.extend(answer)
        peer.sendall(answer)
    return end


try:
    while data := peer.recv(65536):
        said += data
        while at < len(said) and (end := message()):
            at = end
except ConnectionResetError:
    pass  # it leaves without the answer to TEARDOWN
publisher.wait()
for direction, data in (("c2s", said), ("s2c", answered)):
    with open(f"{name}.{direction}.bin", "wb") as out:
        out.write(data)
