"""What real clients make of a stream: their packets, and how to compare them with the source's."""

import base64
import contextlib
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
from dataclasses import dataclass

import flv
from mist import ROOT

CLIPS = ROOT / "tests/media"
CORPUS = ROOT.parent / "shared/corpus"
AV = pathlib.Path(__file__).with_name("libav.py")

NAL_LENGTH = {"h264", "hevc"}
VIDEO = {"h264", "hevc", "av1", "vp9", "mpeg2video", "flv1", "vp6f", "flashsv", "flashsv2"}


@dataclass
class Packet:
    track: str  # codec name
    dts: float  # seconds
    pts: float
    key: bool
    payload: str  # hash of the elementary payload, independent of the container's framing


def have(*programs):
    return all(shutil.which(p) for p in programs)


# ---- reading with ffprobe

def probe_args(source, data=True):
    return ["ffprobe", "-v", "error", "-show_entries", "packet=codec_type,stream_index,pts_time,dts_time,flags,data:stream=index,codec_name,extradata",
            *(["-show_data"] if data else []), "-show_packets", "-show_streams", "-of", "json", str(source)]


def hexdump(text):
    """Bytes of ffprobe's dump: `00000000: 0011 2233 ...  text`."""
    return bytes.fromhex("".join(line[10:50] for line in text.splitlines() if line))


def nals(data, annexb):
    if annexb:
        for part in re.split(rb"\0\0\0?\x01", data):
            part = part.rstrip(b"\0")
            if part:
                yield part
    else:
        at = 0
        while at + 4 <= len(data):
            size = int.from_bytes(data[at:at + 4], "big")
            if size:
                yield data[at + 4:at + 4 + size].rstrip(b"\0")
            at += 4 + size


def payload_hash(codec, data, extradata):
    """Hash of what a decoder gets: NAL units without delimiters and parameter sets, audio frames without ADTS."""
    if codec in NAL_LENGTH:
        annexb = extradata[:1] != b"\x01"
        kept = []
        for nal in nals(data, annexb):
            kind = nal[0] & 31 if codec == "h264" else nal[0] >> 1 & 63
            if kind not in ((7, 8, 9) if codec == "h264" else (32, 33, 34, 35)):
                kept.append(nal)
        data = b"\0\0\0\x01".join(kept)
    elif codec == "aac" and len(data) > 7 and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        data = data[7 if data[1] & 1 else 9:]
    return hashlib.sha256(data).hexdigest()[:16]


def parse_probe(text):
    report = json.loads(text)
    streams = {s["index"]: s for s in report.get("streams", [])}
    packets = []
    for p in report.get("packets", []):
        stream = streams[p["stream_index"]]
        codec = stream.get("codec_name", "unknown")
        if "dts_time" not in p and "pts_time" not in p:
            continue
        dts = float(p.get("dts_time", p.get("pts_time")))
        packets.append(Packet(codec, dts, float(p.get("pts_time", dts)), "K" in p["flags"],
                              payload_hash(codec, hexdump(p.get("data", "")), hexdump(stream.get("extradata", "")))))
    return packets


def packets_of(path):
    """All packets of a file, by ffprobe."""
    done = subprocess.run(probe_args(path), capture_output=True, text=True, timeout=120)
    return parse_probe(done.stdout)


# ---- reading an FLV ourselves: for FourCCs that Debian's ffmpeg does not know

FOURCC = {b"avc1": "h264", b"hvc1": "hevc", b"av01": "av1", b"vp09": "vp9", b".mp3": "mp3", b"mp4a": "aac", b"Opus": "opus",
          b"ac-3": "ac3", b"ec-3": "eac3", b"fLaC": "flac"}
SOUND = {2: "mp3", 10: "aac", 11: "speex"}


def packets_of_flv(data):
    """All packets of an FLV, by the reader beside this file."""
    packets = []
    for t in flv.read(data):
        if t.is_config:
            continue
        first, cts = t.body[0], 0
        if t.kind == flv.AUDIO:
            codec, skip = (FOURCC[t.body[1:5]], 5) if first >> 4 == 9 else (SOUND.get(first >> 4, "?"), 2 if first >> 4 == 10 else 1)
        elif first & 0x80:
            codec, skip = FOURCC[t.body[1:5]], 5
            if first & 15 == 1 and codec in NAL_LENGTH:
                cts, skip = signed24(t.body[5:8]), 8
        else:
            codec, skip = ("h264", 5) if first & 15 == 7 else ("?", 1)
            cts = signed24(t.body[2:5]) if skip == 5 else 0
        if t.body[skip:]:
            packets.append(Packet(codec, t.time / 1000, (t.time + cts) / 1000, t.is_key or t.kind == flv.AUDIO,
                                  payload_hash(codec, t.body[skip:], b"\x01")))
    return packets


def signed24(b):
    value = int.from_bytes(b, "big")
    return value - (1 << 24) if value & 0x800000 else value


def packets_of_libav(text):
    """All packets that `libav.py play` printed."""
    packets = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # the last line may be cut off
            p = json.loads(line)
            data, extra = base64.b64decode(p.pop("data")), base64.b64decode(p.pop("extradata"))
            packets.append(Packet(**p, payload=payload_hash(p["track"], data, extra)))
    return packets


# ---- clients

class Client:
    """A program that reads a stream until it ends by itself or is told to; started again while it gets nothing,
    because it may be there before the publisher."""

    def __init__(self, command, out, seconds=60):
        self.command, self.out, self.stopped = [str(c) for c in command], pathlib.Path(out), False
        self.stderr = ""
        self.process = None
        self.thread = threading.Thread(target=self._run, args=(time.monotonic() + seconds,), daemon=True)
        self.thread.start()

    def _run(self, end):
        while not self.stopped and time.monotonic() < end:
            with open(self.out, "wb") as file:
                self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE, text=True, errors="replace")
                self.stderr = self.process.communicate()[1][-2000:]
            if self.out.stat().st_size > 64:
                return
            time.sleep(0.05)

    def stop(self, idle=1.5, limit=20):
        """Ends it once its output has not grown for `idle` seconds."""
        end, size, since = time.monotonic() + limit, -1, time.monotonic()
        while self.thread.is_alive() and time.monotonic() < end:
            now = self.out.stat().st_size if self.out.exists() else 0
            if now != size:
                size, since = now, time.monotonic()
            elif time.monotonic() - since > idle:
                break
            time.sleep(0.05)
        self.stopped = True
        if self.process and self.process.poll() is None:
            self.process.terminate()
        self.thread.join(10)
        if self.process and self.process.poll() is None:
            self.process.kill()
        return self.out.read_bytes() if self.out.exists() else b""


def curl(url, out, seconds=60):
    return Client(["curl", "-sS", "--no-buffer", "--fail", "--max-time", seconds, "-o", "-", url], out, seconds)


def ffmpeg_play(url, out, form):
    """Real ffmpeg as the player. It copies what it gets into a container, with the timestamps it saw."""
    return Client(["ffmpeg", "-v", "error", "-y", "-copyts", "-fflags", "+nofillin", "-i", url, "-map", "0", "-c", "copy", "-f", form, "-flush_packets", "1",
                   *(["-mpegts_copyts", "1"] if form == "mpegts" else []), "pipe:1"], out)


def ffmpeg_publish(source, url, *options, realtime=True):
    return subprocess.Popen(["ffmpeg", "-v", "error", "-nostdin", *(["-re"] if realtime else []), *map(str, options), "-i", str(source), "-map", "0",
                             "-c", "copy", "-f", "flv", "-flvflags", "no_duration_filesize", url],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(process, seconds=60):
    """Waits for a publisher and returns what it complained about."""
    try:
        return process.communicate(timeout=seconds)[1] or ""
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"publisher still runs after {seconds} s: {process.args}") from None


def as_published(source, folder):
    """The FLV that ffmpeg makes of `source` when it copies: what it also sends over RTMP."""
    path = pathlib.Path(folder) / f"source-{pathlib.Path(source).name}.flv"
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", str(source), "-map", "0", "-c", "copy", "-f", "flv",
                    "-flvflags", "no_duration_filesize", path], check=True, capture_output=True)
    return path


def libav(*args):
    """A newer libav than Debian's, from PyPI: knows enhanced RTMP."""
    return [sys.executable, AV, *args]


# ---- HLS

class Hls(threading.Thread):
    """Follows a live playlist as a player does, keeps every segment, and checks the rules of RFC 8216 on the way."""

    def __init__(self, mist, stream, query=""):
        super().__init__(daemon=True)
        self.mist, self.stream, self.query = mist, stream, query
        self.segments = {}  # number: bytes
        self.durations = {}  # number: EXTINF
        self.breaks = set()  # numbers after EXT-X-DISCONTINUITY
        self.removed = []  # (url, when it left the playlist, playlist's duration)
        self.problems = []
        self.targets = set()
        self.ended = self.stopped = False
        self.last = -1
        self.fetches = 0
        self.start()

    def run(self):
        try:
            media = None
            while not (self.stopped or self.ended):
                if media is None:
                    media = self._media_playlist()
                else:
                    self._follow(media)
                time.sleep(0.15)
        except Exception as error:
            self.problems.append(repr(error))

    def _media_playlist(self):
        path = f"/hls/{self.stream}/index.m3u8{self.query}"
        # The first playlist of a new stream waits until a player can't run dry.
        status, headers, body = self.mist.get(path, timeout=30)
        if status != 200:
            return None
        text = body.decode()
        if not text.startswith("#EXTM3U"):
            self.problems.append(f"not a playlist: {text[:80]!r}")
        kind = headers["Content-Type"] or ""
        if "mpegurl" not in kind.lower():
            self.problems.append(f"type {kind}")
        if "#EXT-X-STREAM-INF" in text:
            lines = text.splitlines()
            inf = next(i for i, l in enumerate(lines) if l.startswith("#EXT-X-STREAM-INF"))
            self.multivariant = text
            return urllib.parse.urljoin(path, next(l for l in lines[inf + 1:] if l and l[0] != "#"))
        return path

    def _follow(self, path):
        status, _, body = self.mist.get(path, timeout=30)
        if status != 200:
            return
        text = body.decode()
        self.text = text
        sequence = int(re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)[1]) if "#EXT-X-MEDIA-SEQUENCE" in text else 0
        target = int(re.search(r"#EXT-X-TARGETDURATION:(\d+)", text)[1])
        self.targets.add(target)
        if sequence < self.last:
            self.problems.append(f"MEDIA-SEQUENCE went back from {self.last} to {sequence}")
        self.last = sequence
        number, duration, gap = sequence, None, False
        found = 0
        for line in text.splitlines():
            if line.startswith("#EXTINF:"):
                duration = float(line[8:].split(",")[0])
                if round(duration) > target:
                    self.problems.append(f"segment {number} lasts {duration}, target {target}")
            elif line == "#EXT-X-DISCONTINUITY":
                gap = True
            elif line and line[0] != "#":
                found += 1
                if gap:
                    self.breaks.add(number)
                if number not in self.segments:
                    url = urllib.parse.urljoin(path, line)
                    status, headers, data = self.mist.get(url)
                    if status != 200:
                        self.problems.append(f"segment {number} of the playlist: {status}")
                    elif len(data) % 188 or data[:1] != b"\x47":
                        self.problems.append(f"segment {number} is not MPEG-TS")
                    self.segments[number], self.durations[number] = data, duration
                    self.first_url = getattr(self, "first_url", url)
                number, gap = number + 1, False
        if not found:
            self.problems.append("a playlist without segments")
        self.fetches += 1
        self.ended = "#EXT-X-ENDLIST" in text

    def stop(self, idle=2.5):
        """Waits until nothing new has come for a while, and returns the segments in one piece."""
        count, since = -1, time.monotonic()
        while self.is_alive() and time.monotonic() - since < idle:
            if len(self.segments) != count:
                count, since = len(self.segments), time.monotonic()
            time.sleep(0.05)
        self.stopped = True
        self.join(10)
        numbers = sorted(self.segments)
        if numbers and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            self.problems.append(f"segments missing: {numbers}")
        return b"".join(self.segments[n] for n in numbers)


# ---- comparing

def by_track(packets):
    tracks = {}
    for p in packets:
        tracks.setdefault(p.track, []).append(p)
    return tracks


def compare(source, got, tick, what, tracks=None, missing_head=0, missing_tail=0, key=True, pictures=None):
    """Says how `got` differs from `source`; empty if it does not. One offset for all tracks, within `tick` seconds.
    `missing_head` and `missing_tail` are how many packets of a track may be absent at the ends."""
    wanted, found = by_track(source), by_track(got)
    problems = []
    # Playing starts at a keyframe, even of a track that this output can't carry: audio before it may be left out.
    pictures = [p.pts for p in pictures or source if p.track in VIDEO]
    offset = None
    for track in tracks or wanted:
        a, b = wanted.get(track, []), found.get(track, [])
        if not b:
            problems.append(f"{what}: no {track} (there are {sorted(found)})")
            continue
        hashes = [p.payload for p in a]
        try:
            at = hashes.index(b[0].payload)
        except ValueError:
            problems.append(f"{what}: the first {track} packet is not the source's")
            continue
        # equal payloads (silence) can make the first match too early: take the latest start that still fits
        while hashes[at:at + len(b)] != [p.payload for p in b] and b[0].payload in hashes[at + 1:]:
            at = hashes.index(b[0].payload, at + 1)
        n = min(len(a) - at, len(b))
        wrong = [i for i in range(n) if a[at + i].payload != b[i].payload]
        if wrong:
            problems.append(f"{what}: {track} packet {wrong[0]} of {len(b)} has another payload ({len(wrong)} in all)")
            continue
        early = missing_head if track in VIDEO or not pictures else sum(p.pts < pictures[0] for p in a)
        if at > early or len(a) - at - n > missing_tail or len(b) > n:
            problems.append(f"{what}: {track} has {len(b)} packets from {at}, the source {len(a)}")
        # The container's clock shifts every time by one offset; each time may also be rounded by a tick.
        if offset is None:
            deltas = sorted(y.dts - x.dts for x, y in zip(a[at:], b))
            offset = deltas[len(deltas) // 2]
        for x, y in zip(a[at:], b):
            if abs(y.dts - x.dts - offset) > tick + 1e-6 or abs(y.pts - x.pts - offset) > tick + 1e-6:
                problems.append(f"{what}: {track} at {x.dts:.3f}/{x.pts:.3f} s came as {y.dts:.4f}/{y.pts:.4f} s, offset {offset:.4f}")
                break
            if key and x.key != y.key:
                problems.append(f"{what}: {track} at {x.dts:.3f} s: key is {y.key}")
                break
    for track in found:
        if track not in wanted:
            problems.append(f"{what}: {track} is not in the source")
    return problems
