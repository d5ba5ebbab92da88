"""Clocks: the borders of 24 and 32 bits, and half an hour of material across them."""

import os
import pathlib
import tempfile
import unittest

import flv
import media
import rtmp
from mist import Mist, until

FULL = os.environ.get("MIST_E2E") == "full"
MINUTES = 30 if FULL else 3
SPEED = 60 if FULL else 20  # times real time


def material(start, minutes):
    """The demo clip looped for so long, its clock starting at `start` ms."""
    tags = [t for t in flv.read((media.ROOT / "mist-server/assets/demo.flv").read_bytes()) if t.kind != flv.SCRIPT]
    config, rest = [t for t in tags if t.is_config], [t for t in tags if not t.is_config]
    out = [flv.Tag(t.kind, start, t.body) for t in config]
    for loop in range(minutes * 60 // 16 + 1):
        out += [flv.Tag(t.kind, start + loop * 16_000 + t.time, t.body) for t in rest]
    return out


class Borders(unittest.TestCase):
    def crossing(self, border):
        """Half of the material lies before the border and half behind it."""
        tags = material(border - MINUTES * 30_000, MINUTES)
        with Mist() as mist, tempfile.TemporaryDirectory(prefix="mist-e2e-") as folder:
            folder = pathlib.Path(folder)
            progressive = media.curl(mist.http("long.flv"), folder / "out.flv", 120)
            ts = media.curl(mist.http("long.ts"), folder / "out.ts", 120)
            hls = media.Hls(mist, "long")
            publisher = rtmp.Client(mist.rtmp_port).publish("long")
            # Viewers that wait begin with the keyframe that is the newest when they wake up: it shall be the first one.
            head = next(i for i, t in enumerate(tags) if t.time - tags[0].time >= 1000)
            publisher.tags(tags[:head], 1)
            publisher.tags(tags[head:], SPEED)
            publisher.unpublish()
            got = [t for t in flv.read(progressive.stop()) if not t.is_config]
            ts.stop()
            segments = hls.stop()
            self.assertFalse(hls.problems)
            self.assertFalse(hls.breaks, "a border is no discontinuity")
            self.assertLessEqual(max(hls.durations.values()), max(hls.targets) + 0.5)

            sent = [t for t in tags if not t.is_config]
            first = next(i for i, t in enumerate(sent) if (t.kind, t.body) == (got[0].kind, got[0].body))
            self.assertEqual(first, 0)
            self.assertEqual(len(got), len(sent))
            offset = (got[0].time - sent[0].time) % 2**32
            for kind in (flv.AUDIO, flv.VIDEO):
                a, b = ([t for t in tags if t.kind == kind] for tags in (sent, got))
                wrong = [i for i, (x, y) in enumerate(zip(a, b)) if x.body != y.body or (y.time - x.time) % 2**32 != offset]
                self.assertFalse(wrong[:3], f"{len(wrong)} of {len(a)} tags of kind {kind} differ")

            source = folder / "source.flv"
            source.write_bytes(flv.write([flv.Tag(t.kind, t.time - tags[0].time, t.body) for t in tags]))
            wanted = media.packets_of(source)
            self.assertFalse(media.compare(wanted, media.packets_of(ts.out), 0.001, "HTTP-TS", key=False))
            joined = folder / "hls.ts"
            joined.write_bytes(segments)
            self.assertFalse(media.compare(wanted, media.packets_of(joined), 0.001, "HLS", key=False))

    @unittest.skipUnless(media.have("ffprobe", "curl"), "no ffprobe or curl")
    def test_past_24_bits(self):
        """4 h 39 min: the extended timestamp begins."""
        self.crossing(2**24)

    @unittest.skipUnless(media.have("ffprobe", "curl"), "no ffprobe or curl")
    def test_past_32_bits(self):
        """49 days: the clock starts again at 0."""
        self.crossing(2**32)

    @unittest.skipUnless(media.have("ffmpeg", "ffprobe"), "no ffmpeg")
    def test_ffmpeg_with_an_offset(self):
        """ffmpeg itself, 3 s before the 24-bit border, and its own RTMP reader on the other side."""
        with Mist() as mist, tempfile.TemporaryDirectory(prefix="mist-e2e-") as folder:
            clip = media.CLIPS / "bframes.flv"
            player = media.ffmpeg_play(mist.rtmp("live", "play"), pathlib.Path(folder) / "out.flv", "flv")
            publisher = media.ffmpeg_publish(clip, mist.rtmp("live"), "-itsoffset", (2**24 - 3000) / 1000)
            media.finish(publisher)
            player.stop()
            problems = media.compare(media.packets_of(clip), media.packets_of(player.out), 0.001, f"RTMP {player.stderr}")
            self.assertFalse(problems)

    def test_jump_forwards_and_back(self):
        """T4 and T5: a clock that jumps by hours and stays there; the playlist goes on and no segment exceeds its target."""
        demo = [t for t in material(0, 0)]
        for jump in (3 * 3_600_000, -3 * 3_600_000):
            with self.subTest(jump), Mist() as mist:
                hls = media.Hls(mist, "long")
                publisher = rtmp.Client(mist.rtmp_port).publish("long")
                start = 4 * 3_600_000
                publisher.tags(demo, offset=start)
                publisher.tags([t for t in demo if not t.is_config], offset=start + 16_000 + jump)
                publisher.tags([t for t in demo if not t.is_config], offset=start + 32_000 + jump)
                until(lambda: sum(hls.durations.values()) > 40, 15, f"all the segments; there are {hls.durations}")
                publisher.unpublish()
                hls.stop()
                self.assertFalse(hls.problems)
                self.assertLess(sum(hls.durations.values()), 52)
