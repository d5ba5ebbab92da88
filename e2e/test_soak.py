"""Comings and goings: nothing may be left behind. A short round here; MIST_E2E=full makes it the long one."""

import os
import socket
import threading
import time
import unittest

import flv
import media
import rtmp
from mist import Mist, free_ports, until

FULL = os.environ.get("MIST_E2E") == "full"
CONNECTIONS = 40_000 if FULL else 1_500  # of each protocol
STREAMS = 1_000 if FULL else 150
SLACK = 6 << 20  # what an allocator may keep
TAGS = [t for t in flv.read((media.ROOT / "mist-server/assets/demo.flv").read_bytes()) if t.kind != flv.SCRIPT]


class Soak(unittest.TestCase):
    def settles(self, mist, fds, rss, what, seconds=20):
        until(lambda: mist.fds() <= fds, 20, f"{what}: descriptors are back at {fds}; there are {mist.fds()}")
        until(lambda: mist.rss() <= rss * 1.05 + SLACK, seconds, f"{what}: memory is back at {rss >> 20} MiB; it is {mist.rss() >> 20}")

    def round(self, mist, count):
        """Each kind of visitor, leaving at each stage of its visit. Half of them leave by RST."""
        linger = b"\x01\0\0\0\0\0\0\0"
        for n in range(count):
            try:
                client = rtmp.Client(mist.rtmp_port, "play", timeout=5)
                if n % 2:
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                stage = n % 5
                if stage == 1:
                    client.handshake()
                elif stage == 2:
                    client.connect()
                elif stage == 3:
                    client.play("live")
                elif stage == 4:
                    try:
                        client.play("nothing")
                    except rtmp.Refused:
                        pass
                client.close()
            except ConnectionError:
                pass
            path = ("live.flv", "hls/live/index.m3u8", "nothing.ts", "json_live.js", "live.ts")[n % 5]
            with socket.create_connection(("127.0.0.1", mist.http_port), timeout=5) as s:
                if n % 2:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                if n % 7:
                    s.sendall(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                    if n % 3:
                        s.recv(4096)

    def test_connections(self):
        """L1."""
        with Mist() as mist:
            publisher = rtmp.Client(mist.rtmp_port).publish("live")
            publisher.tags(TAGS)
            mist.live("live", 2)
            # A publisher that says nothing for 30 s is cut.
            over = threading.Event()

            def go_on():
                offset = 0
                while not over.wait(1):
                    offset += 1000
                    publisher.tags(TAGS[-2:], offset=offset)
            going = threading.Thread(target=go_on, daemon=True)
            going.start()
            self.addCleanup(over.set)
            self.round(mist, CONNECTIONS // 4)
            until(lambda: mist.fds() < 60, 20, "descriptors after the first quarter")
            fds, rss = mist.fds(), mist.rss()
            self.round(mist, CONNECTIONS * 3 // 4)
            over.set()
            going.join()
            self.settles(mist, fds + 2, rss, f"{CONNECTIONS} connections")
            publisher.unpublish()

    def test_wildcard_streams(self):
        """L3. In the long round the second thousand must need no more than the first left behind: what an allocator keeps of
        a burst it uses again."""
        head = TAGS[:40]
        with Mist(args=("--debug", "6")) as mist:
            def forgotten():
                """The log leaves some of so many lines out: the last ones are those after which none come."""
                since = time.monotonic()
                until(lambda: since < mist.forgotten < time.monotonic() - 12, 240, "idle streams are forgotten")
            def streams(first, count):
                for n in range(first, first + count):
                    client = rtmp.Client(mist.rtmp_port).publish(f"live+{n}")
                    client.tags(head)
                    if n % 50 == 0:
                        mist.live(f"live+{n}", 2)
                    client.unpublish() if n % 2 else client.close()
            first = STREAMS if FULL else STREAMS // 4
            streams(0, first)
            mist.gone("live+0", 30)
            if FULL:
                forgotten()
            fds, rss = mist.fds(), mist.rss()
            streams(first, STREAMS)
            mist.gone(f"live+{first + STREAMS - 1}", 30)
            if FULL:
                forgotten()
            # A stream without source is kept for a minute and a half.
            self.settles(mist, fds + 2, rss, f"{first + STREAMS} streams", 150)
            active = mist.api(active_streams=True).get("active_streams") or []
            self.assertFalse([s for s in active if s.startswith("live+")])

    def test_many_idle_connections(self):
        """S3: those that connect and say nothing do not keep others out."""
        with Mist() as mist:
            idle = [socket.create_connection(("127.0.0.1", (mist.rtmp_port, mist.http_port, mist.api_port)[n % 3])) for n in range(900)]
            start = time.monotonic()
            rtmp.Client(mist.rtmp_port).publish("live").unpublish()
            self.assertEqual(mist.get("nothing.flv")[0], 404)
            self.assertLess(time.monotonic() - start, 5)
            for s in idle:
                s.close()

    def test_kill_and_restart(self):
        """L5: kill -9 in the middle leaves nothing that keeps a new one from starting on the same ports."""
        ports = free_ports(3)
        for _ in range(3):
            mist = Mist(ports=ports)
            mist.start()
            publisher = rtmp.Client(mist.rtmp_port).publish("live")
            publisher.tags(TAGS[:200])
            mist.live("live", 2)
            viewer = rtmp.Client(mist.rtmp_port, "play").play("live")
            mist.kill()
            publisher.close()
            viewer.close()
        with Mist(ports=ports) as mist:
            publisher = rtmp.Client(mist.rtmp_port).publish("live")
            publisher.tags(TAGS[:200])
            mist.live("live", 2)

    def test_stop_with_viewers(self):
        """SIGTERM with publishers and viewers connected: ends with 0, soon."""
        with Mist() as mist:
            publisher = rtmp.Client(mist.rtmp_port).publish("live")
            publisher.tags(TAGS[:200])
            mist.live("live", 2)
            viewer = rtmp.Client(mist.rtmp_port, "play").play("live")
            with socket.create_connection(("127.0.0.1", mist.http_port)) as s:
                s.sendall(b"GET /live.ts HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertTrue(s.recv(100))
                start = time.monotonic()
                self.assertEqual(mist.stop(), 0)
                self.assertLess(time.monotonic() - start, 10)
            viewer.close()
            publisher.close()
