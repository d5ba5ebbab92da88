"""Clients other than those of test_media: how they start, stop and come back."""

import pathlib
import re
import subprocess
import tempfile
import time
import unittest

import flv
import media
import rtmp
from mist import Mist, until

DEMO = media.ROOT / "mist-server/assets/demo.flv"


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mist = cls.enterClassContext(Mist())
        cls.folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="mist-e2e-")))
        cls.tags = flv.read(DEMO.read_bytes())

    def publish(self, stream, seconds=60):
        """ffmpeg publishes the demo clip in a loop."""
        process = media.ffmpeg_publish(DEMO, self.mist.rtmp(stream), "-stream_loop", -1, "-t", seconds)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.mist.live(stream, 2)
        return process

    def play(self, *command, seconds=25):
        """Runs a player for a while and returns its output; it must end well by itself."""
        done = subprocess.run([str(c) for c in command], capture_output=True, timeout=seconds)
        self.assertEqual(done.returncode, 0, (done.stdout + done.stderr).decode(errors="replace")[-1500:])
        return done

    @unittest.skipUnless(media.have("gst-launch-1.0", "ffmpeg"), "no GStreamer")
    def test_gstreamer_publishes(self):
        """rtmp2sink publishes what x264enc and avenc_aac make; ffmpeg decodes it."""
        gst = subprocess.Popen(
            ["gst-launch-1.0", "-q", "flvmux", "name=mux", "streamable=true", "!", "rtmp2sink", f"location={self.mist.rtmp('live+gst')}",
             "videotestsrc", "is-live=true", "!", "video/x-raw,width=320,height=180,framerate=25/1", "!", "x264enc", "tune=zerolatency", "key-int-max=25", "!",
             "h264parse", "!", "mux.", "audiotestsrc", "is-live=true", "!", "avenc_aac", "!", "aacparse", "!", "mux."],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(gst.communicate)
        self.addCleanup(gst.kill)
        self.mist.live("live+gst", 2)
        done = self.play("ffmpeg", "-v", "error", "-i", self.mist.rtmp("live+gst", "play"), "-t", 2, "-f", "framehash", "-")
        lines = [l for l in done.stdout.decode().splitlines() if l and l[0] != "#"]
        self.assertGreater(sum(l.startswith("0,") for l in lines), 40)
        self.assertEqual(done.stderr, b"")

    @unittest.skipUnless(media.have("gst-launch-1.0", "ffmpeg"), "no GStreamer")
    def test_gstreamer_plays(self):
        self.publish("live+forgst")
        for url, source in ((self.mist.rtmp("live+forgst", "play"), ["rtmp2src", "location=URL", "!", "flvdemux", "name=d"]),
                            (self.mist.http("live+forgst.ts"), ["souphttpsrc", "location=URL", "!", "tsdemux", "name=d"])):
            source = [part.replace("URL", url) for part in source]
            with self.subTest(url):
                self.play("timeout", "-s", "INT", "20", "gst-launch-1.0", "-q", *source, "d.", "!", "queue", "!", "h264parse", "!", "avdec_h264", "!",
                          "fakesink", "num-buffers=60", seconds=30)

    @unittest.skipUnless(media.have("rtmpdump", "ffprobe"), "no rtmpdump")
    def test_rtmpdump_plays(self):
        self.publish("live+dump")
        out = self.folder / "dump.flv"
        # 0 is complete, 2 incomplete: a live stream has no length to complete
        done = subprocess.run(["rtmpdump", "--quiet", "--live", "--stop", "3", "-r", self.mist.rtmp("live+dump", "play"), "-o", out], capture_output=True, timeout=20)
        self.assertIn(done.returncode, (0, 2), done.stderr.decode())
        packets = media.packets_of(out)
        self.assertGreater(len([p for p in packets if p.track == "h264"]), 50)
        self.assertTrue(next(p for p in packets if p.track == "h264").key)

    @unittest.skipUnless(media.have("ffmpeg"), "no ffmpeg")
    def test_players_start_within_a_gop(self):
        """Joined in the middle of a GOP of 2 s, every output gives its first picture at once, by ffmpeg's own time."""
        self.publish("live+join")
        until(lambda: b".ts" in self.mist.get("hls/live+join/1_2/index.m3u8", timeout=30)[2], 30, "two segments")
        for url in (self.mist.rtmp("live+join", "play"), self.mist.http("live+join.flv"), self.mist.http("live+join.ts"), self.mist.http("hls/live+join/index.m3u8")):
            with self.subTest(url):
                start = time.monotonic()
                self.play("ffmpeg", "-v", "error", "-analyzeduration", 500_000, "-i", url, "-frames:v", 1, "-f", "null", "-")
                self.assertLess(time.monotonic() - start, 2.0)

    @unittest.skipUnless(media.have("ffmpeg"), "no ffmpeg")
    def test_ffmpeg_decodes_hls_without_complaint(self):
        self.publish("live+hls")
        until(lambda: self.mist.get("hls/live+hls/index.m3u8")[0] == 200, 15, "HLS")
        done = self.play("ffmpeg", "-v", "warning", "-i", self.mist.http("hls/live+hls/index.m3u8"), "-t", 6, "-f", "null", "-", seconds=40)
        self.assertEqual(done.stderr.decode(), "")

    def test_old_segments_outlive_the_playlist(self):
        """H1: a segment that has just left the playlist is still served."""
        mist = self.enterContext(Mist({"live": {"source": "push://", "DVR": 20_000}}))
        publisher = rtmp.Client(mist.rtmp_port).publish("live")
        config = [t for t in self.tags if t.is_config and t.kind != flv.SCRIPT]
        media_tags = [t for t in self.tags if not t.is_config]
        publisher.tags(config)
        publisher.tags(media_tags)
        mist.live("live", 2)
        hls = media.Hls(mist, "live")
        until(lambda: hls.segments, 10, "a segment")
        number, url = min(hls.segments), hls.first_url
        # Two seconds of media at a time, until the first segment leaves the window.
        for step in range(1, 40):
            at = (step - 1) * 2000 % 16_000
            part = [t for t in media_tags if at <= t.time - media_tags[0].time < at + 2000]
            publisher.tags(part, offset=16_000 + (step - 1) // 8 * 16_000)
            seen = hls.fetches
            until(lambda: hls.fetches > seen + 1, 5, "the playlist again")
            if hls.last > number:
                break
        self.assertGreater(hls.last, number, "the window does not move")
        self.assertEqual(mist.get(url)[0], 200)
        listed = [d for n, d in hls.durations.items() if n >= hls.last]
        self.assertGreaterEqual(len(listed), 3, "a live playlist has three segments or more")
        hls.stop()
        publisher.unpublish()
        self.assertFalse(hls.problems)
        self.assertEqual(len(hls.targets), 1, "TARGETDURATION is constant")

    def test_publisher_returns(self):
        """With resume support the publisher drops without a word and is back at once: viewers' playlists go on, numbers never
        go back and nothing is lost."""
        mist = self.enterContext(Mist({"back": {"source": "push://", "resume": 1}}))
        tags = [t for t in self.tags if t.kind != flv.SCRIPT]
        first = rtmp.Client(mist.rtmp_port).publish("back")
        first.tags(tags)
        mist.live("back", 2)
        hls = media.Hls(mist, "back")
        until(lambda: len(hls.segments) > 1, 10, "segments")
        before = max(hls.segments)
        first.close()
        second = until(lambda: self.try_publish(mist, "back"), 2, "publishing again")
        second.tags(tags)
        until(lambda: max(hls.segments) > before, 10, "segments of the second publisher")
        hls.stop()
        second.unpublish()
        self.assertFalse(hls.problems)

    def try_publish(self, mist, stream):
        try:
            return rtmp.Client(mist.rtmp_port).publish(stream)
        except (rtmp.Refused, ConnectionError):
            return None

    def test_headers(self):
        """H5 and H6: CORS on everything, errors too; segments may be cached for ever, playlists hardly."""
        publisher = rtmp.Client(self.mist.rtmp_port).publish("live+head")
        publisher.tags([t for t in self.tags if t.kind != flv.SCRIPT])
        self.mist.live("live+head", 2)
        hls = media.Hls(self.mist, "live+head")
        until(lambda: hls.segments, 10, "a segment")
        hls.stopped = True
        status, headers, _ = self.mist.get(hls.first_url)
        self.assertEqual((status, headers["Content-Type"].lower()), (200, "video/mp2t"))
        self.assertIn("max-age", headers["Cache-Control"])
        for path, wanted in (("hls/live+head/index.m3u8", 200), ("hls/nothing/index.m3u8", 404), (hls.first_url, 200)):
            status, headers, _ = self.mist.get(path, headers={"Origin": "http://elsewhere.example"})
            self.assertEqual(status, wanted)
            self.assertIn(headers["Access-Control-Allow-Origin"], ("*", "http://elsewhere.example"), path)
        publisher.unpublish()

    def test_page(self):
        """The player page and what it loads."""
        status, headers, body = self.mist.get("live.html")
        self.assertEqual((status, headers["Content-Type"].split(";")[0]), (200, "text/html"))
        for path in re.findall(r'(?:src|href)="([^"]+)"', body.decode()):
            self.assertEqual(self.mist.get(path)[0], 200, path)
