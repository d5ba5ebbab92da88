"""What goes in comes out: every packet, by every output at the same time, published and played by real clients."""

import concurrent.futures
import os
import pathlib
import subprocess
import tempfile
import unittest

import media
from mist import Mist

FULL = os.environ.get("MIST_E2E") == "full"
MILLISECOND = 0.001

# clip: what MPEG-TS can carry of it (None: all)
BY_FFMPEG = {
    media.CLIPS / "bframes.flv": None,
    media.CLIPS / "video-only.flv": None,
    media.CLIPS / "audio-only.flv": None,
    media.CLIPS / "late-audio.flv": None,
    media.CLIPS / "late-video.flv": None,
    media.CLIPS / "h264-mp3.flv": None,
    media.CORPUS / "flv/scuffle-avc_aac.flv": None,
    media.CORPUS / "flv/ax-sample.flv": None,
    media.CORPUS / "flv/srs-avatar.flv": None,
    media.CORPUS / "flv/vhs-bipbop0.flv": None,
}
if FULL:
    BY_FFMPEG |= {
        media.CORPUS / "flv/red5-NAPNAP.flv": ["mp3"],
        media.CORPUS / "flv/red5-flashContent.flv": ["h264"],
        media.CORPUS / "flv/getid3-small.flv": ["mp3"],
        media.CORPUS / "flv/fate-nellymoser.flv": [],
        media.CORPUS / "flv/fate-streamloop.flv": None,
        media.CORPUS / "synthetic/flv-flv1-mp3.flv": ["mp3"],
        media.CORPUS / "synthetic/flv-h264-speex.flv": ["h264"],
        media.CORPUS / "synthetic/flv-flashsv2.flv": [],
    }
BY_LIBAV = {
    media.CLIPS / "enhanced-hevc-aac.flv": None,
    media.CLIPS / "enhanced-h264-ac3.flv": None,
    media.CLIPS / "enhanced-av1-opus.flv": ["opus"],
    media.CLIPS / "enhanced-h264-flac.flv": ["h264"],
    media.CORPUS / "flv/scuffle-hevc_aac.flv": None,
}


def has_av():
    return subprocess.run(["python3", "-c", "import av"], capture_output=True).returncode == 0


def round_trip(mist, clip, carried, enhanced, folder):
    """Plays the clip through the server and returns what is wrong with what came out."""
    name = f"long+{clip.stem.lower().replace('-', '_')}"
    if enhanced:
        source = media.packets_of_flv(clip.read_bytes())
        player = media.Client(media.libav("play", mist.rtmp(name, "play")), folder / f"{clip.stem}-rtmp")
    else:
        published = media.as_published(clip, folder)
        source = media.packets_of(published)
        player = media.Client(["rtmpdump", "--quiet", "--live", "--rtmp", mist.rtmp(name, "play"), "--flv", "-"], folder / f"{clip.stem}-rtmp")
    flv = media.curl(mist.http(f"{name}.flv"), folder / f"{clip.stem}.flv")
    ts = media.curl(mist.http(f"{name}.ts"), folder / f"{clip.stem}.ts") if carried != [] else None
    hls = media.Hls(mist, name) if carried not in ([], ["opus"]) else None  # HLS has no Opus in MPEG-TS
    if enhanced:
        publisher = subprocess.Popen(media.libav("publish", clip, mist.rtmp(name)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    else:
        publisher = media.ffmpeg_publish(clip, mist.rtmp(name))
    errors = media.finish(publisher)
    problems = [f"publisher: {errors[-300:]}"] if publisher.returncode else []

    read = media.packets_of_libav if enhanced else lambda data: media.packets_of(player.out)
    data = player.stop()
    problems += media.compare(source, read(data.decode() if enhanced else data), MILLISECOND, f"RTMP {player.stderr.strip()[-120:]}")
    data = flv.stop()
    problems += media.compare(source, media.packets_of_flv(data) if enhanced else media.packets_of(flv.out) if data else [], MILLISECOND,
                              f"HTTP-FLV {flv.stderr[-200:]}")
    if ts:
        wanted = [p for p in source if carried is None or p.track in carried]
        ts.stop()
        problems += media.compare(wanted, media.packets_of(ts.out), MILLISECOND, f"HTTP-TS {ts.stderr[-200:]}", key=False, pictures=source)
    if hls:
        joined = folder / f"{clip.stem}-hls.ts"
        joined.write_bytes(hls.stop())
        problems += media.compare(wanted, media.packets_of(joined), MILLISECOND, "HLS", key=False, pictures=source)
        problems += [f"HLS: {p}" for p in hls.problems]
        if len(hls.targets) > 1:
            problems.append(f"HLS: TARGETDURATION changed: {hls.targets}")
    return problems


class EveryOutput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="mist-e2e-media-")
        cls.mist = cls.enterClassContext(Mist())
        cls.pool = concurrent.futures.ThreadPoolExecutor(3)
        cls.results = {}
        if not media.have("ffmpeg", "ffprobe", "rtmpdump", "curl"):
            return
        av = has_av()
        for enhanced, clips in ((False, BY_FFMPEG), (True, BY_LIBAV if av else {})):
            for clip, carried in clips.items():
                if clip.exists():
                    cls.results[clip] = cls.pool.submit(round_trip, cls.mist, clip, carried, enhanced, pathlib.Path(cls.folder.name))

    @classmethod
    def tearDownClass(cls):
        cls.pool.shutdown(wait=True, cancel_futures=True)
        cls.folder.cleanup()


def make_test(clip):
    def test(self):
        if clip not in self.results:
            self.skipTest("the clip, ffmpeg, rtmpdump, curl or PyPI's av is not here")
        problems = self.results[clip].result()
        self.assertFalse(problems, "\n  " + "\n  ".join(problems))
    return test


for clip in [*BY_FFMPEG, *BY_LIBAV]:
    setattr(EveryOutput, f"test_{clip.stem.replace('-', '_')}", make_test(clip))


class Material(unittest.TestCase):
    def test_1080p_with_b_frames(self):
        """Synthetic 1080p at 8 Mbit/s."""
        if not media.have("ffmpeg", "ffprobe", "rtmpdump", "curl"):
            self.skipTest("no ffmpeg, rtmpdump or curl")
        with tempfile.TemporaryDirectory(prefix="mist-e2e-") as folder, Mist() as mist:
            clip = pathlib.Path(folder) / "full-hd.flv"
            subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=1920x1080:r=30", "-f", "lavfi", "-i", "sine=r=44100", "-t", "30" if FULL else "6",
                            "-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "bframes=3:keyint=60:scenecut=0:cabac=1", "-b:v", "8M", "-c:a", "aac", clip], check=True)
            (clip.parent / "out").mkdir()
            problems = round_trip(mist, clip, None, False, clip.parent / "out")
            self.assertFalse(problems, "\n  " + "\n  ".join(problems))
