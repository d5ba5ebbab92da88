"""A small RTMP client over a blocking socket, written from the specification for what real clients do not let a test
choose: timestamps, pace, names, reading slowly, and leaving at any moment."""

import socket
import struct
import time

import flv

SET_CHUNK_SIZE, ABORT, ACK, USER_CONTROL, WINDOW_ACK, SET_BANDWIDTH, AUDIO, VIDEO, DATA, COMMAND, AGGREGATE = (
    1, 2, 3, 4, 5, 6, 8, 9, 18, 20, 22)


def amf(*values):
    """AMF0."""
    out = b""
    for v in values:
        if v is None:
            out += b"\x05"
        elif isinstance(v, bool):
            out += bytes([1, v])
        elif isinstance(v, (int, float)):
            out += b"\0" + struct.pack(">d", v)
        elif isinstance(v, str):
            raw = v.encode()
            out += b"\x02" + struct.pack(">H", len(raw)) + raw
        elif isinstance(v, dict):
            out += b"\x03"
            for key, value in v.items():
                raw = key.encode()
                out += struct.pack(">H", len(raw)) + raw + amf(value)
            out += b"\0\0\x09"
        else:
            raise TypeError(v)
    return out


def unamf(data):
    """The values of an AMF0 body."""
    values, at = [], 0
    while at < len(data):
        value, at = _value(data, at)
        values.append(value)
    return values


def _value(d, at):
    marker, at = d[at], at + 1
    if marker == 0:
        return struct.unpack_from(">d", d, at)[0], at + 8
    if marker == 1:
        return d[at] != 0, at + 1
    if marker == 2:
        n = struct.unpack_from(">H", d, at)[0]
        return d[at + 2:at + 2 + n].decode(errors="replace"), at + 2 + n
    if marker in (3, 8):
        if marker == 8:
            at += 4
        out = {}
        while d[at:at + 3] != b"\0\0\x09":
            n = struct.unpack_from(">H", d, at)[0]
            key = d[at + 2:at + 2 + n].decode(errors="replace")
            out[key], at = _value(d, at + 2 + n)
        return out, at + 3
    if marker in (5, 6):
        return None, at
    if marker == 10:
        n = struct.unpack_from(">I", d, at)[0]
        at, out = at + 4, []
        for _ in range(n):
            item, at = _value(d, at)
            out.append(item)
        return out, at
    if marker == 11:
        return struct.unpack_from(">d", d, at)[0], at + 10
    if marker == 12:
        n = struct.unpack_from(">I", d, at)[0]
        return d[at + 4:at + 4 + n].decode(errors="replace"), at + 4 + n
    raise ValueError(f"AMF0 marker {marker}")


class Refused(Exception):
    """The server said no: the code of its onStatus or _error."""


class Client:
    def __init__(self, port, app="live", timeout=10, receive_buffer=None, tc_url=True):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect(("127.0.0.1", port))
        self.app, self.port, self.tc_url = app, port, tc_url
        self.input = bytearray()
        self.received = self.acknowledged = 0
        self.chunk_in = 128
        self.chunk_out = 4096
        self.states = {}
        self.stream = 1

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- bytes

    def _fill(self, n):
        while len(self.input) < n:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            self.input += data
            self.received += len(data)

    def _take(self, n):
        self._fill(n)
        data = bytes(self.input[:n])
        del self.input[:n]
        return data

    def send(self, kind, body, timestamp=0, stream=0, csid=3):
        """One message: fmt 0, then fmt 3 chunks that repeat an extended timestamp, as the specification wants."""
        timestamp &= 0xFFFFFFFF
        extended = struct.pack(">I", timestamp) if timestamp >= 0xFFFFFF else b""
        head = bytes([csid]) + min(timestamp, 0xFFFFFF).to_bytes(3, "big") + len(body).to_bytes(3, "big") \
            + bytes([kind]) + struct.pack("<I", stream) + extended
        out = bytearray(head + body[:self.chunk_out])
        for at in range(self.chunk_out, len(body), self.chunk_out):
            out += bytes([0xC0 | csid]) + extended + body[at:at + self.chunk_out]
        self.socket.sendall(out)

    def message(self):
        """The next message: type, timestamp, body. Protocol control is followed on the way."""
        while True:
            first = self._take(1)[0]
            fmt, csid = first >> 6, first & 63
            if csid == 0:
                csid = 64 + self._take(1)[0]
            elif csid == 1:
                low, high = self._take(2)
                csid = 64 + low + 256 * high
            s = self.states.setdefault(csid, {"time": 0, "delta": 0, "size": 0, "kind": 0, "body": bytearray(), "extended": False})
            if fmt < 3:
                head = self._take((11, 7, 3)[fmt])
                stamp = int.from_bytes(head[:3], "big")
                if fmt < 2:
                    s["size"], s["kind"] = int.from_bytes(head[3:6], "big"), head[6]
                s["extended"] = stamp == 0xFFFFFF
                if s["extended"]:
                    stamp = int.from_bytes(self._take(4), "big")
                s["delta"] = stamp
                s["time"] = stamp if fmt == 0 else (s["time"] + stamp) & 0xFFFFFFFF
                if fmt == 0:
                    s["delta"] = 0
            else:
                if s["extended"]:
                    self._take(4)
                if not s["body"]:
                    s["time"] = (s["time"] + s["delta"]) & 0xFFFFFFFF
            s["body"] += self._take(min(self.chunk_in, s["size"] - len(s["body"])))
            if len(s["body"]) < s["size"]:
                continue
            kind, body, timestamp = s["kind"], bytes(s["body"]), s["time"]
            s["body"] = bytearray()
            if self.received - self.acknowledged > 500_000:
                self.acknowledged = self.received
                self.send(ACK, struct.pack(">I", self.received & 0xFFFFFFFF), csid=2)
            if kind == SET_CHUNK_SIZE:
                self.chunk_in = int.from_bytes(body[:4], "big")
            elif kind == USER_CONTROL and body[:2] == b"\0\x06":
                self.send(USER_CONTROL, b"\0\x07" + body[2:6], csid=2)
            else:
                return kind, timestamp, body

    # ---- commands

    def handshake(self):
        self.socket.sendall(b"\x03" + struct.pack(">II", 0, 0) + bytes(i * 7 & 0xFF for i in range(1528)))
        answer = self._take(1 + 1536 + 1536)
        assert answer[0] == 3
        self.socket.sendall(answer[1:1537])

    def connect(self):
        self.handshake()
        self.send(SET_CHUNK_SIZE, struct.pack(">I", self.chunk_out), csid=2)
        properties = {"app": self.app, "flashVer": "FMLE/3.0 (compatible; e2e)"}
        if self.tc_url:
            properties["tcUrl"] = f"rtmp://127.0.0.1:{self.port}/{self.app}"
        self.send(COMMAND, amf("connect", 1, properties))
        self._result(1)
        self.send(COMMAND, amf("createStream", 2, None))
        self.stream = int(self._result(2)[-1])
        return self

    def _result(self, transaction):
        while True:
            kind, _, body = self.message()
            if kind == COMMAND:
                values = unamf(body)
                if values[0] == "_result" and values[1] == transaction:
                    return values
                if values[0] == "_error":
                    raise Refused(_code(values))

    def _status(self, good):
        while True:
            kind, _, body = self.message()
            if kind == COMMAND:
                values = unamf(body)
                code = _code(values)
                if values[0] == "onStatus" and code in good:
                    return code
                if values[0] in ("onStatus", "_error") and ("level" not in values[-1] or values[-1]["level"] == "error"):
                    raise Refused(code)

    def publish(self, name, kind="live"):
        self.connect()
        self.send(COMMAND, amf("publish", 3, None, name, kind), stream=self.stream, csid=4)
        self._status({"NetStream.Publish.Start"})
        return self

    def play(self, name):
        self.connect()
        self.send(COMMAND, amf("play", 3, None, name, -2000), stream=self.stream, csid=4)
        self._status({"NetStream.Play.Start"})
        return self

    def unpublish(self):
        self.send(COMMAND, amf("deleteStream", 4, None, self.stream))
        self.close()

    def tag(self, tag, offset=0):
        """Sends an FLV tag."""
        csid = {flv.AUDIO: 4, flv.VIDEO: 6, flv.SCRIPT: 5}[tag.kind]
        body = tag.body
        if tag.kind == flv.SCRIPT:
            body = amf("@setDataFrame") + body
        self.send(tag.kind, body, tag.time + offset, self.stream, csid)

    def tags(self, tags, speed=None, offset=0):
        """Sends tags, `speed` times as fast as real time, or at once."""
        start, first = time.monotonic(), tags[0].time
        for t in tags:
            if speed:
                wait = start + (t.time - first) / 1000 / speed - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
            self.tag(t, offset)

    def media(self):
        """The next audio or video message as a tag, aggregates taken apart; None when the stream ended."""
        while True:
            kind, timestamp, body = self.message()
            if kind in (AUDIO, VIDEO) and body:
                return flv.Tag(kind, timestamp, body)
            if kind == COMMAND:
                values = unamf(body)
                if values[0] == "onStatus" and _code(values) in (
                        "NetStream.Play.Stop", "NetStream.Play.Complete", "NetStream.Play.UnpublishNotify"):
                    return None


def _code(values):
    return values[-1].get("code", "?") if isinstance(values[-1], dict) else str(values[-1])
