"""Makes the enhanced-*.flv files and enhanced.truth of this folder: PyAV 18.1 (libavformat 62), numpy.

Nothing in them is anybody else's: grey steps and a 440 Hz tone.
"""
import hashlib
from fractions import Fraction

import av
import numpy as np

FILES = {
    "enhanced-hevc.flv": ("libx265", ["aac", "libopus", "flac", "ac3", "eac3", "libmp3lame"]),
    "enhanced-av1.flv": ("libsvtav1", ["libopus"]),
    "enhanced-vp9.flv": ("libvpx-vp9", ["flac"]),
}
OPTIONS = {
    "libx265": {"x265-params": "log-level=none:keyint=6:bframes=2"},
    "libsvtav1": {"preset": "10", "g": "6"},
    "libvpx-vp9": {"deadline": "realtime", "g": "6"},
}


def make(name, video, audio):
    out = av.open(name, "w", format="flv")
    v = out.add_stream(video, rate=25)
    v.width = v.height = 64
    v.pix_fmt = "yuv420p"
    v.options = OPTIONS[video]
    sounds = []
    for codec in audio:
        s = out.add_stream(codec, rate=48000)
        s.layout, s.bit_rate = "stereo", 64000
        sounds.append(s)
    for i in range(12):
        grey = np.full((64, 64, 3), i * 20, np.uint8)
        frame = av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = i, Fraction(1, 25)
        out.mux(v.encode(frame))
    out.mux(v.encode())
    for s in sounds:
        n = s.codec_context.frame_size or 1024
        for i in range(6):
            tone = np.sin(np.arange(i * n, i * n + n) * 2 * np.pi * 440 / 48000) * 0.1
            frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]).astype(np.float32), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 48000, i * n
            wanted = av.AudioResampler(format=s.codec_context.format.name, layout="stereo", rate=48000)
            for f in wanted.resample(frame):
                f.pts = i * n
                out.mux(s.encode(f))
        out.mux(s.encode(None))
    out.close()


def truth(name, to):
    file = av.open(name)
    seen = {s.index: [s.codec.canonical_name, 0, 0, hashlib.sha256(), []] for s in file.streams}
    for p in file.demux():
        if p.size:
            s = seen[p.stream.index]
            s[1] += 1
            s[2] += p.is_keyframe
            s[3].update(bytes(p))
            s[4].append(f"{p.dts}/{p.pts}")
    for index, s in seen.items():
        print(name, index, s[0], s[1], s[2], s[3].hexdigest(), *s[4], file=to)


with open("enhanced.truth", "w") as to:
    for name, (video, audio) in FILES.items():
        make(name, video, audio)
        truth(name, to)
