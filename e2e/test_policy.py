"""Who may publish what, and what those get who may not."""

import pathlib
import socket
import struct
import subprocess
import threading
import time
import unittest

import flv
import media
import rtmp
from mist import Mist, until

ANSWER_S = 5  # an answer, whatever it is, within this time


class Policy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mist = cls.enterClassContext(Mist())
        cls.tags = [t for t in flv.read((media.ROOT / "mist-server/assets/demo.flv").read_bytes()) if t.kind != flv.SCRIPT]

    def refused(self, stream, app):
        start = time.monotonic()
        with self.assertRaises((rtmp.Refused, ConnectionError)) as caught:
            rtmp.Client(self.mist.rtmp_port, app).publish(stream)
        self.assertLess(time.monotonic() - start, ANSWER_S)
        self.assertIsInstance(caught.exception, rtmp.Refused, "refused with a status, not only by closing")
        self.assertIn("NetStream.Publish", str(caught.exception))

    def test_passphrase(self):
        self.refused("secret", "rose")
        self.refused("secret", "")
        self.refused("secret+wild", "rose")
        for name in ("secret", "secret+wild"):
            rtmp.Client(self.mist.rtmp_port, "tulip").publish(name).unpublish()
        self.mist.logged("secret", seconds=5)
        self.assertFalse([l for l in self.mist.log if "tulip" in l], "the passphrase is in the log")

    def test_host(self):
        rtmp.Client(self.mist.rtmp_port).publish("local").unpublish()
        self.refused("remote", "live")

    def test_publish_to_an_unknown_stream(self):
        self.refused("nothing", "live")
        for name in ("../../etc/passwd", "a" * 5000, "live\0", "", "%2e%2e"):
            with self.subTest(name[:20]):
                try:
                    rtmp.Client(self.mist.rtmp_port, timeout=ANSWER_S).publish(name).unpublish()
                except (rtmp.Refused, ConnectionError):
                    pass
        self.assertIsNotNone(self.mist.info("live") or self.mist.get("live.html")[0] == 200)

    def test_play_an_unknown_stream(self):
        start = time.monotonic()
        for path in ("nothing.flv", "nothing.ts", "hls/nothing/index.m3u8", "nothing+wild.flv", "nonsense"):
            self.assertEqual(self.mist.get(path, timeout=ANSWER_S)[0], 404, path)
        with self.assertRaises(rtmp.Refused) as caught:
            rtmp.Client(self.mist.rtmp_port, "play", timeout=ANSWER_S).play("nothing")
        self.assertEqual(str(caught.exception), "NetStream.Play.StreamNotFound")
        self.assertLess(time.monotonic() - start, ANSWER_S)

    @unittest.skipUnless(media.have("ffmpeg"), "no ffmpeg")
    def test_real_clients_hear_no(self):
        done = subprocess.run(["ffmpeg", "-v", "error", "-i", media.CLIPS / "bframes.flv", "-c", "copy", "-f", "flv", self.mist.rtmp("secret", "rose")],
                              capture_output=True, timeout=15)
        self.assertNotEqual(done.returncode, 0)
        done = subprocess.run(["ffmpeg", "-v", "error", "-i", self.mist.rtmp("nothing", "play"), "-f", "null", "-"], capture_output=True, timeout=15)
        self.assertNotEqual(done.returncode, 0)

    def test_second_publisher(self):
        """The first one keeps the stream; its viewers do not notice."""
        first = rtmp.Client(self.mist.rtmp_port).publish("live+two")
        head = [t for t in self.tags if t.time < 8000]
        first.tags(head)
        self.mist.live("live+two", 2)
        viewer = media.curl(self.mist.http("live+two.flv"), pathlib.Path(self.mist.folder.name) / "two.flv")
        until(lambda: viewer.out.exists() and viewer.out.stat().st_size > 1000, 10, "the viewer's first bytes")
        # A publisher that is silent for two seconds would give way: this one goes on while the other asks.
        rest = iter([t for t in self.tags if t.time >= 8000])
        other = threading.Thread(target=self.refused, args=("live+two", "live"))
        other.start()
        while other.is_alive():
            first.tags([next(rest)])
            other.join(0.2)
        first.tags(list(rest))
        first.unpublish()
        got = [t for t in flv.read(viewer.stop()) if not t.is_config]
        sent = [t for t in self.tags if not t.is_config]
        self.assertEqual([t.body for t in got if t.kind == flv.VIDEO], [t.body for t in sent if t.kind == flv.VIDEO][-len([t for t in got if t.kind == flv.VIDEO]):])
        self.assertEqual(got[-1].body, sent[-1].body)

    def test_encoders_without_manners(self):
        """C2: no tcUrl, no metadata, unknown messages in between, metadata after the media."""
        client = rtmp.Client(self.mist.rtmp_port, tc_url=False).publish("live+rude")
        client.send(99, b"unknown", csid=7)
        client.send(rtmp.USER_CONTROL, b"\0\x63\0\0\0\0", csid=2)
        client.tags(self.tags[:50])
        client.send(rtmp.DATA, rtmp.amf("@setDataFrame", "onMetaData", {"width": 640.0}), 1000, client.stream, 5)
        client.tags(self.tags[50:])
        self.mist.live("live+rude", 2)
        client.unpublish()

    def test_hostile_bytes(self):
        """Each of these ends its own connection and nothing else; a stream that plays meanwhile goes on."""
        publisher = rtmp.Client(self.mist.rtmp_port).publish("live+calm")
        publisher.tags(self.tags[:200])
        self.mist.live("live+calm", 2)
        rss = self.mist.rss()

        def raw(port, *parts):
            s = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S)
            try:
                for part in parts:
                    s.sendall(part)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
            except OSError:
                pass
            finally:
                s.close()

        def after_handshake(data):
            client = rtmp.Client(self.mist.rtmp_port, timeout=ANSWER_S)
            try:
                client.handshake()
                client.socket.sendall(data)
                client.socket.shutdown(socket.SHUT_WR)
                while client.socket.recv(65536):
                    pass
            except OSError:
                pass
            finally:
                client.close()

        raw(self.mist.rtmp_port, b"GET / HTTP/1.1\r\n\r\n")
        raw(self.mist.rtmp_port, b"\xff" * 5000)
        raw(self.mist.rtmp_port, b"\x03" + b"\0" * 100)
        # every chunk stream opened with 16 MiB declared
        after_handshake(b"".join(bytes([0, c % 256]) + b"\0\0\0\xff\xff\xff\x09\0\0\0\0" + b"x" * 128 for c in range(256)) * 4)
        after_handshake(b"\x02\0\0\0\0\0\x04\x01\0\0\0\0" + struct.pack(">I", 0))  # chunk size 0
        after_handshake(b"\xc3" + b"x" * 128)  # fmt 3 first
        after_handshake(b"\x03\0\0\0\0\xff\xff\x14\0\0\0\0" + b"\x03\0\x01a" * 3000)  # nested objects
        after_handshake(b"\x03\0\0\0\0\0\x05\x14\0\0\0\0\x0a\xff\xff\xff\xff")  # strict array of 2^32
        for line in (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n",
                     b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\nffffffffffffffffff\r\n",
                     b"GET /live+calm.flv HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
                     b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"\0" * 10_000):
            raw(self.mist.http_port, line)
            raw(self.mist.api_port, line)
        self.assertLess(self.mist.rss() - rss, 64 << 20)
        publisher.tags(self.tags[200:])
        info = until(lambda: self.mist.info("live+calm"), 5, "the calm stream")
        self.assertTrue(info)
        publisher.unpublish()


class SlowReader(unittest.TestCase):
    def test_slow_readers_cost_nothing(self):
        """S1: readers that stop reading are skipped or cut; memory stays flat, and one that reads gets everything."""
        with Mist({"live": {"source": "push://", "DVR": 5000}}) as mist:
            # 25 frames/s of 40 kB: 8 Mbit/s; a keyframe a second. What is in the NAL does not matter.
            demo = flv.read((media.ROOT / "mist-server/assets/demo.flv").read_bytes())
            config = next(t for t in demo if t.kind == flv.VIDEO and t.is_config)

            def frame(n):
                nal = b"\x65" if n % 25 == 0 else b"\x41"
                payload = nal + n.to_bytes(8, "big") * 5000
                return flv.Tag(flv.VIDEO, n * 40, (b"\x17" if n % 25 == 0 else b"\x27") + b"\x01\0\0\0" + len(payload).to_bytes(4, "big") + payload)

            publisher = rtmp.Client(mist.rtmp_port).publish("live")
            publisher.tag(config)
            publisher.tags([frame(n) for n in range(125)])
            mist.live("live")
            fast = media.curl(mist.http("live.flv"), pathlib.Path(mist.folder.name) / "fast.flv", 120)
            until(lambda: fast.out.exists() and fast.out.stat().st_size > 1000, 10, "the fast viewer's first bytes")
            slow = [rtmp.Client(mist.rtmp_port, "play", receive_buffer=4096).play("live") for _ in range(20)]
            request = f"GET /live.ts HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            stuck = [socket.create_connection(("127.0.0.1", mist.http_port)) for _ in range(20)]
            for s in stuck:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                s.sendall(request)
            publisher.tags([frame(n) for n in range(125, 500)], speed=10)  # the window is full of this now
            before = mist.rss()
            publisher.tags([frame(n) for n in range(500, 3000)], speed=10)  # 100 MB more
            grown = mist.rss() - before
            self.assertLess(grown, 24 << 20, f"{grown >> 20} MiB more")
            publisher.unpublish()
            got = [t.body for t in flv.read(fast.stop()) if not t.is_config]
            self.assertEqual(got[-1], frame(2999).body)
            first = int.from_bytes(got[0][10:18], "big")
            self.assertEqual(len(got), 3000 - first, "the fast viewer lost something")
            # What a slow one still gets is whole, and goes on at a keyframe after each gap.
            for client in slow[:3]:
                last = None
                try:
                    client.socket.settimeout(5)
                    while tag := client.media():
                        if tag.is_config:
                            continue
                        n = int.from_bytes(tag.body[10:18], "big")
                        self.assertEqual(tag.body, frame(n).body)
                        self.assertTrue(last is None or n == last + 1 or tag.is_key, f"{n} after {last}")
                        last = n
                except OSError:
                    pass
                finally:
                    client.close()
