#!/usr/bin/env python3
"""Makes the seeds in fuzz/corpus: small valid inputs of each target, from which a fuzzer starts. The results are committed."""

import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent
CLIPS = ROOT.parent / "tests/media"
sys.path.insert(0, str(ROOT.parent / "e2e"))
import flv  # noqa: E402
from rtmp import amf  # noqa: E402


def save(target, name, data):
    folder = ROOT / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def number(folder):
    """What picks a format: its place in the registry."""
    registry = (ROOT.parent / "mist-formats/src/lib.rs").read_text().split("FORMATS: &[&FormatDef] =")[1]
    return [f.split("::")[0].strip(" \n&[,") for f in registry.split("FORMAT")].index(folder)


for name, text in {"names": "Live+Wild_Card 1", "push": "push://[2001:db8::1]/64@secret", "cidr": "push://10.0.0.0/8@a@b",
                   "target": "/rec/$stream.ts?x=1?video=h264&audio=all&recstop=5", "select": "video=0&audio=eng&subtitle=all&audio=AAC"}.items():
    save("text", name, text.encode())

save("text", "playlist-media", b"""#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:4
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0
#EXT-X-PART-INF:PART-TARGET=0.33
#EXT-X-MEDIA-SEQUENCE:266
#EXT-X-DEFINE:NAME="v",VALUE="x"
#EXT-X-MAP:URI="i.mp4",BYTERANGE="600@20"
#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x01
#EXT-X-PROGRAM-DATE-TIME:2019-02-14T02:13:36.106Z
#EXTINF:4.0,
#EXT-X-BYTERANGE:10@5
{$v}.mp4
#EXT-X-DISCONTINUITY
#EXT-X-PART:DURATION=0.33,URI="p",BYTERANGE="10@0",INDEPENDENT=YES
#EXT-X-DATERANGE:ID="a",START-DATE="2014-03-05T11:15:00Z",DURATION=5
#EXTINF:3,
../b.mp4?q
""")
save("text", "playlist-multivariant", b"""#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="n",LANGUAGE="en",URI="a.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS="avc1.4d401f",RESOLUTION=2x2,AUDIO="a"
v.m3u8
""")

meta = amf("onMetaData", {"width": 640.0, "name": "x", "nested": {"a": True, "b": None}})
save("amf", "metadata", meta)
save("amf", "ecma", b"\x08\xff\xff\xff\xff\0\x01a\0" + struct.pack(">d", 1) + b"\0\0\x09")
save("amf", "strict", b"\x0a\0\0\0\x02\x05\x06")
save("amf", "amf3", b"\x0a\x0b\x01\x03a\x06\x05bc\x04\x07\x01")

for clip, tags in (("bframes", 12), ("enhanced-hevc-aac", 8), ("h264-mp3", 8)):
    data = flv.write(flv.read((CLIPS / f"{clip}.flv").read_bytes())[:tags])
    for first in (0, 1):
        save("demux", f"{clip}-{first}", bytes([first, 61]) + data)
for clip in ("mpeg2-mp2", "hevc-eac3", "h264-latm"):
    data = (CLIPS / f"{clip}.ts").read_bytes()[:188 * 24]
    for first in (0, 1):
        save("demux", f"{clip}-{first}", bytes([first, 188]) + data)

def packed(value):
    if isinstance(value, int):
        return b"\x01" + struct.pack(">q", value)
    if isinstance(value, bytes):
        return b"\x02" + struct.pack(">I", len(value)) + value
    return b"\xe0" + b"".join(struct.pack(">H", len(k)) + k.encode() + packed(v) for k, v in value.items()) + b"\0\0\xee"


def dt(kind, body):
    return kind + struct.pack(">I", len(body)) + body


tracks = {"v": {"trackid": 1, "codec": b"VP8", "width": 16, "height": 16}, "s": {"trackid": 2, "codec": b"subtitle", "lang": b"eng"}}
header = dt(b"DTSC", packed({"live": 1, "version": 4, "tracks": tracks}))
media = b"".join(dt(b"DTP2", struct.pack(">IQ", 1 + n % 2, n * 40) + packed({"offset": 40, "keyframe": 1, "data": b"x" * 9})) for n in range(6))
old = dt(b"DTPD", packed({"trackid": 1, "time": 400, "data": b"old"}))
hello = dt(b"DTCM", packed({"cmd": b"hi"}))
save("demux", "dtsc", bytes([number("dtsc"), 9]) + hello + header + media + header + old)
tables = {"fragments": struct.pack(">IBII", 80, 1, 1, 18), "keys": struct.pack(">Q3sIHQ", 100, b"\0\0\x50", 1, 2, 0),
          "keysizes": struct.pack(">I", 18), "parts": b"\0\0\x09\0\0\x28\0\0\x28" * 2}
more = {"vod": 1, "version": 4, "sourcesize": 1000, "sourcetime": 5, "timezero": -40, "tracks": {"v": {**tables, **tracks["v"]}}}
save("demux", "dtsc-tables", bytes([number("dtsc"), 61]) + dt(b"DTSC", packed({**more, "moreheader": 0})) + media)
save("demux", "dtsc-more", bytes([number("dtsc"), 61]) + dt(b"DTSC", packed({"moreheader": 34})) + header + media)
save("dtsh", "tables", dt(b"DTSC", packed(more)))
exact = {**tables, "remainders": b"\0\0\x05\xff\xff\xfb" * 2}
save("dtsh", "exact", dt(b"DTSC", packed({**more, "tracks": {"v": {**exact, **tracks["v"]}}})))

frames = b"".join(bytes([flags, 40, 8, 5]) + b"\0\0\0\x01\x65" for flags in (5, 2, 1, 2, 1, 2, 5))
for n in range(6):
    save("mux_round_trip", f"frames-{n}", bytes([n, n // 2, n]) + frames)


def steps(*ops):
    return b"".join(bytes(op) for op in ops)


def packets(count):
    out = []
    for n in range(count):
        out.append((0x16, 1 if n % 10 == 0 else 0, 100, 0, 40, 9))
        out += [(0x26, 1, 50, 0, 0, 3)] * 2
    return out


show = steps((3, 0, 0, 0, 0, 0), (0x11, 0, 0, 0, 0, 0), (0x21, 0, 0, 0, 0, 0), *packets(60))
save("stream", "plain", b"\x14" + show)
save("stream", "restart", b"\x14" + show + steps((3, 1, 0, 0, 0, 0), *packets(30), (4, 0, 0, 0, 0, 0), (5, 0, 0, 0, 0, 0)))
save("stream", "jumps", b"\x14" + show + steps((0x16, 0x80, 100, 0, 0, 4), (0x16, 0x80, 156, 0, 0, 4), *packets(5)))
for name, path in {"multivariant": "index.m3u8?video=1&audio=0", "media": "1_2/index.m3u8", "segment": "1_2/0_5000.ts?start=100&stop=2000&dl=1"}.items():
    save("http", name, b"\x14" + show + steps((0, 0, 0, 0, 0, 0)) + path.encode())


def chunk(kind, body, stream=0, csid=3, timestamp=0):
    head = bytes([csid]) + timestamp.to_bytes(3, "big") + len(body).to_bytes(3, "big") + bytes([kind]) + struct.pack("<I", stream)
    return head + body[:128] + b"".join(bytes([0xC0 | csid]) + body[at:at + 128] for at in range(128, len(body), 128))


# No run of 0xff in the handshake: there the driver would act.
hello = b"\x03" + bytes(8) + b"h" * 1528 + bytes(1536)
connect = chunk(20, amf("connect", 1, {"app": "live", "tcUrl": "rtmp://localhost/live"})) + chunk(20, amf("createStream", 2, None))
publish = chunk(20, amf("publish", 3, None, "x", "live"), 1, 4) + b"\xff\x03\0"
tags = b"".join(chunk(t.kind, t.body[:300], 1, 6, t.time) for t in flv.read((CLIPS / "bframes.flv").read_bytes())[1:6])
play = chunk(20, amf("play", 3, None, "x", -2000), 1, 4) + b"\xff\x03\0" + b"\xff\x05\0\xff\x05\x01\xff\x06\x05\xff\x06\x02\xff\x06\x01"
save("rtmp", "publish", b"\xff" + hello + connect + publish + tags)
save("rtmp", "play", b"\xff" + hello + connect + play)
save("rtmp", "refused", b"\x40" + hello + connect + chunk(20, amf("publish", 3, None, "x", "live"), 1, 4) + b"\xff\x02\0")
save("rtmp", "small-chunks", b"\x07" + hello + connect + chunk(1, struct.pack(">I", 1), csid=2))
