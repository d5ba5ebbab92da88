"""Starting, watching and stopping a mist-server with a configuration of its own on free ports."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = pathlib.Path(os.environ.get("MIST_SERVER", ROOT / "target/debug/mist-server"))

# A push stream for anybody, its wildcards, and streams that only some may push to.
STREAMS = {
    "live": {"source": "push://"},
    "long": {"source": "push://", "DVR": 600_000},
    "secret": {"source": "push://@tulip"},
    "local": {"source": "push://127.0.0.0/8"},
    "remote": {"source": "push://192.0.2.0/24"},
}


def free_ports(count):
    """Ports that nobody listens on. All are held until all are found, so they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def until(condition, seconds, what):
    """Polls `condition` until it gives something true and returns that; the wait has an end and a name."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Mist:
    """A running server. Use as a context manager."""

    def __init__(self, streams=None, ports=None, args=(), options=None):
        self.folder = tempfile.TemporaryDirectory(prefix="mist-e2e-")
        self.streams = STREAMS if streams is None else streams
        self.api_port, self.http_port, self.rtmp_port = ports or free_ports(3)
        self.config = pathlib.Path(self.folder.name) / "config.json"
        self.config.write_text(json.dumps({
            "config": {
                "controller": {"interface": "127.0.0.1", "port": self.api_port},
                "protocols": [
                    {"connector": "HTTP", "interface": "127.0.0.1", "port": self.http_port},
                    {"connector": "RTMP", "interface": "127.0.0.1", "port": self.rtmp_port, **(options or {})},
                    *({"connector": name, **(options or {})} for name in ("HLS", "FLV", "HTTPTS")),
                ],
            },
            "streams": self.streams,
        }))
        self.args = args
        self.log = []
        self.forgotten = 0  # when an idle stream was last forgotten; only seen from log level 6 on
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        try:
            code = self.stop()
        finally:
            self.folder.cleanup()
        if any("panicked" in line for line in self.log):
            print("".join(self.log[-40:]), flush=True)
            raise AssertionError("the server panicked")
        if kind is not None:
            print("---- the server's last lines\n" + "".join(self.log[-40:]) + "----", flush=True)
        elif code != 0:
            raise AssertionError(f"the server ended with {code}:\n" + "".join(self.log[-40:]))

    def start(self):
        self.process = subprocess.Popen(
            [BINARY, "--config", self.config, *self.args],
            cwd=self.folder.name, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", env={**os.environ, "RUST_BACKTRACE": "1"})
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()
        for port in (self.api_port, self.http_port, self.rtmp_port):
            until(lambda p=port: self._listens(p), 15, f"the server listens on {port}")

    def _read(self, pipe):
        for line in pipe:
            self.log.append(line)
            if "idle: forgetting it" in line:
                self.forgotten = time.monotonic()
            if len(self.log) > 20_000:
                del self.log[:10_000]

    def _listens(self, port):
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n" + "".join(self.log))
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def stop(self):
        """Asks it to stop and returns its exit code."""
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else 0
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the server did not stop within 15 s of SIGTERM") from None

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()

    # ---- addresses

    def rtmp(self, stream, app="live"):
        return f"rtmp://127.0.0.1:{self.rtmp_port}/{app}/{stream}"

    def http(self, path):
        return f"http://127.0.0.1:{self.http_port}/{path.lstrip('/')}"

    def get(self, path, timeout=10, headers=None):
        """Status, headers and body of a GET; an error status is an answer as well."""
        request = urllib.request.Request(self.http(path), headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def api(self, **command):
        """An API call from loopback, which counts as logged in."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api_port}/api", json.dumps(command).encode(),
            {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    # ---- state

    def info(self, stream):
        """The stream's JSON information, or None while it has no tracks."""
        status, _, body = self.get(f"json_{stream}.js")
        info = json.loads(body) if status == 200 else {}
        return info if info.get("meta", {}).get("tracks") else None

    def live(self, stream, tracks=1, seconds=10):
        """Waits until the stream has this many media tracks."""
        def ready():
            info = self.info(stream)
            found = [t for t in info["meta"]["tracks"].values() if t.get("type") in ("video", "audio")] if info else []
            return info if len(found) >= tracks else None
        return until(ready, seconds, f"stream {stream} has {tracks} tracks")

    def gone(self, stream, seconds=10):
        """Waits until the stream has no tracks any more."""
        until(lambda: self.info(stream) is None, seconds, f"stream {stream} is gone")

    def rss(self):
        """Resident memory in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(l.split()[1]) * 1024 for l in status.splitlines() if l.startswith("VmRSS"))

    def fds(self):
        """Open file descriptors."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def logged(self, *words, seconds=5):
        """Waits for a log line with all these words."""
        return until(lambda: next((l for l in list(self.log) if all(w in l for w in words)), None), seconds,
                     f"a log line with {words}")
