#!/usr/bin/env python3
"""Makes the seeds in fuzz/corpus: small valid inputs of each target, from which a fuzzer starts. The results are committed."""

import pathlib
import random
import re
import struct
import sys
import zlib

ROOT = pathlib.Path(__file__).resolve().parent
CLIPS = ROOT.parent / "tests/media"
sys.path.insert(0, str(ROOT.parent / "e2e"))
import flv  # noqa: E402
from rtmp import amf  # noqa: E402


def save(target, name, data):
    folder = ROOT / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def number(name):
    """What picks a format: its place in the registry."""
    registry = (ROOT.parent / "mist-formats/src/lib.rs").read_text().split("FORMATS: &[&FormatDef] =")[1]
    return re.findall(r"&(\w+::\w+)", registry).index(name)


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
save("demux", "dtsc", bytes([number("dtsc::FORMAT"), 9]) + hello + header + media + header + old)
tables = {"fragments": struct.pack(">IBII", 80, 1, 1, 18), "keys": struct.pack(">Q3sIHQ", 100, b"\0\0\x50", 1, 2, 0),
          "keysizes": struct.pack(">I", 18), "parts": b"\0\0\x09\0\0\x28\0\0\x28" * 2}
more = {"vod": 1, "version": 4, "sourcesize": 1000, "sourcetime": 5, "timezero": -40, "tracks": {"v": {**tables, **tracks["v"]}}}
save("demux", "dtsc-tables", bytes([number("dtsc::FORMAT"), 61]) + dt(b"DTSC", packed({**more, "moreheader": 0})) + media)
save("demux", "dtsc-more", bytes([number("dtsc::FORMAT"), 61]) + dt(b"DTSC", packed({"moreheader": 34})) + header + media)
save("dtsh", "tables", dt(b"DTSC", packed(more)))
exact = {**tables, "remainders": b"\0\0\x05\xff\xff\xfb" * 2}
save("dtsh", "exact", dt(b"DTSC", packed({**more, "tracks": {"v": {**exact, **tracks["v"]}}})))

def page(flags, granule, serial, sequence, *packets, lacing=None):
    """A page of Ogg; `lacing` where it isn't that of whole packets."""
    lacing = lacing or b"".join(b"\xff" * (len(p) // 255) + bytes([len(p) % 255]) for p in packets)
    fields = struct.pack("<BBqIII", 0, flags, granule, serial, sequence, 0)
    data = bytearray(b"OggS" + fields + bytes([len(lacing)]) + lacing + b"".join(packets))
    crc = 0
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    data[22:26] = struct.pack("<I", crc)
    return bytes(data)


def lsb(*fields):
    """Bits packed as Vorbis packs them: pairs of a value and its bits."""
    value = bits = 0
    for v, n in fields:
        value |= v << bits
        bits += n
    return value.to_bytes((bits + 7) // 8, "little")


# One of each part, two modes.
setup = b"\x05vorbis" + lsb((0, 8), (0x564342, 24), (1, 16), (2, 24), (0, 2), (1, 5), (1, 5), (0, 4), (0, 6), (0, 16), (0, 6), (0, 16), (0, 54), (0, 4), (0, 8),
                            (0, 6), (2, 16), (0, 72), (0, 6), (0, 8), (0, 4), (0, 6), (0, 16), (0, 2), (0, 2), (0, 24), (1, 6), (0, 41), (1, 41), (1, 1))
note = b"\x01\0\0\0x\x01\0\0\0\x0b\0\0\0LANGUAGE=de"
vorbis = [b"\x01vorbis\0\0\0\0\x02\x44\xac\0\0\0\0\0\0\0\xf4\x01\0\0\0\0\0\xb8\x01", b"\x03vorbis" + note + b"\x01", setup]
theora = [b"\x80theora\x03\x02\x01\0\x14\0\x0f\0\x01\x40\0\0\xf0\0\0\0\0\0\x1e\0\0\0\x01\0\0\x01\0\0\x01\0\0\0\0\x40\xc0", b"\x81theora" + note, b"\x82theora."]
opus = [b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0", b"OpusTags" + note]
flac = [b"\x7fFLAC\x01\0\0\x01fLaC\0\0\0\x22" + struct.pack(">HH", 4096, 4096) + bytes(6) + bytes.fromhex("0bb802f000000000") + bytes(16), b"\x84\0\0\x18" + note]
speex = [b"Speex   1.2".ljust(28, b"\0") + struct.pack("<IIIIIIiIIII", 1, 80, 16000, 1, 4, 1, -1, 320, 1, 1, 0) + bytes(8), note]
vp8 = [b"OVP80\x01\x01\0\x01\x40\0\xf0\0\0\x01\0\0\x01\0\0\0\x1e\0\0\0\x01", b"OVP80\x02 " + note]
skeleton = [b"fishead\0\x03\0\0\0".ljust(64, b"\0"), b"fisbone\0" + struct.pack("<III", 44, 2, 3).ljust(44, b"\0") + b"Language: en\r\n"]
streams = {"vorbis": (vorbis, [b"\x00ab", b"\x06cd", b"\x02ef"], [0, 1152, 2176]), "theora": (theora, [b"\x20key", b"\x40p", b""], [64, 65, 66]),
           "opus": (opus, [b"\xfc123", b"\x0845", b"\xfc6"], [960, 1920, 2500]),
           "flac": (flac, [b"\xff\xf8\xca\x18\0" + bytes(9), b"\xff\xf8\x7a\x18\x01\x03\xff" + bytes(9)], [4096, 5120]),
           "speex": (speex, [b"s" * 20, b"t" * 30], [320, 600]), "vp8": (vp8, [b"\x10\0\0\x9d\x01\x2a\x40\x01\xf0\0", b"\x11\0\0"], [1 << 32 | 3 << 30, 2 << 32 | 3 << 30 | 8])}


def link(serial, heads, media, granules):
    out = page(2, 0, serial, 0, heads[0]) + page(0, 0, serial, 1, *heads[1:])
    for n, (packet, granule) in enumerate(zip(media, granules)):
        out += page(4 * (n == len(media) - 1), granule, serial, 2 + n, packet)
    return out


for n, (name, stream) in enumerate(streams.items()):
    save("demux", f"ogg-{name}", bytes([number("ogg::FORMAT"), 40]) + link(n, *stream))
both = page(2, 0, 1, 0, skeleton[0]) + page(2, 0, 2, 0, theora[0]) + page(2, 0, 3, 0, opus[0]) + page(0, 0, 2, 1, *theora[1:]) + page(0, 0, 3, 1, opus[1]) + page(4, 0, 1, 1, skeleton[1])
both += page(0, -1, 2, 2, bytes(510), lacing=b"\xff\xff") + page(0, 1920, 3, 2, b"\xfc1", b"\xfc2") + page(1, 65, 2, 3, b"tail", b"\x40p") + page(4, 2880, 3, 4, b"\xfc3") + page(4, 128, 2, 4, b"\x20key")
save("demux", "ogg-chain", bytes([number("ogg::FORMAT"), 200]) + both + link(9, *streams["opus"]) + b"junk" + link(8, *streams["vorbis"]))

def el(code, *parts, unknown=False):
    """An EBML element: its id, a size of four bytes, and its data."""
    data = b"".join(parts)
    size = b"\xff" if unknown else struct.pack(">I", 0x10000000 | len(data))
    return code.to_bytes((code.bit_length() + 7) // 8, "big") + size + data


def num(code, value):
    return el(code, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def ebml(doc):
    return el(0x1A45DFA3, num(0x42F7, 1), num(0x42F2, 4), num(0x42F3, 8), el(0x4282, doc), num(0x4285, 2))


def entry(track, codec, *more):
    return el(0xAE, num(0xD7, track), num(0x83, {b"V": 1, b"A": 2, b"S": 17}[codec[:1]]), el(0x86, codec), *more)


def block(track, time, payload, flags=0x80, simple=True):
    return el(0xA3 if simple else 0xA1, bytes([0x80 | track]) + struct.pack(">hB", time, flags) + payload)


def nal(*data):
    return struct.pack(">I", len(data)) + bytes(data)


avcc = bytes([1, 77, 0, 30, 0xFF, 0xE1, 0, 8, 0x67, 77, 0, 30, 0xDA, 2, 0x80, 0x96, 1, 0, 2, 0x68, 0xCE])
video = el(0xE0, num(0xB0, 64), num(0xBA, 48), num(0x54B0, 64), num(0x54BA, 36), el(0x55B0, num(0x55BB, 1), num(0x55B9, 2)))
sound = el(0xE1, el(0xB5, struct.pack(">f", 48000)), num(0x9F, 2), num(0x6264, 16))
pieces = el(0x1654AE6B, entry(1, b"V_MPEG4/ISO/AVC", el(0x63A2, avcc), num(0x23E383, 40_000_000), video),
            entry(2, b"A_OPUS", el(0x63A2, b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0"), num(0x56AA, 6_500_000), num(0x56BB, 80_000_000), sound),
            entry(3, b"S_TEXT/WEBVTT", el(0x22B59D, b"de-CH")))
info = el(0x1549A966, num(0x2AD7B1, 1_000_000), el(0x4489, struct.pack(">f", 400)))


def cluster(at, unknown=False):
    group = el(0xA0, block(3, 0, b"text", 0, False), num(0x9B, 30), el(0x75A1, el(0xA6, el(0xA5, b"line:0\nid"))))
    padded = el(0xA0, block(2, 60, b"\xfc\1", 0, False), num(0x75A2, 13_500_000), num(0xFB, 1))
    pictures = b"".join(block(1, t, nal(0x65 if t == 0 else 0x41, t & 255, 9), 0x80 if t == 0 else 0) for t in (0, 120, 40, 80))
    return el(0x1F43B675, num(0xE7, at), pictures, block(2, 0, b"\xfc\2\3"), group, padded, unknown=unknown)


cues = el(0x1C53BB6B, *(el(0xBB, num(0xB3, n * 160), el(0xB7, num(0xF7, 1), num(0xF1, len(info + pieces) + 31 + n * len(cluster(160))))) for n in (0, 1)))
head = el(0x114D9B74, el(0x4DBB, el(0x53AB, b"\x1c\x53\xbb\x6b"), el(0x53AC, struct.pack(">I", len(info + pieces) + 31 + 2 * len(cluster(160))))))
# The head's positions take it to be 31 bytes long.
head += el(0xEC, bytes(31 - len(head) - 5)) if len(head) < 26 else b""
mkv = bytes([number("mkv::FORMAT"), 61])
save("demux", "mkv-cues", mkv + ebml(b"matroska") + el(0x18538067, head, info, pieces, cluster(0), cluster(160), cues))
save("demux", "mkv-live", mkv + ebml(b"webm") + el(0x18538067, info, pieces, cluster(0, True), cluster(160, True), unknown=True))
pcm = entry(1, b"A_PCM/INT/LIT", sound)
mp3 = entry(2, b"A_MPEG/L3", num(0x23E383, 24_000_000), el(0x6D80, el(0x6240, el(0x5034, num(0x4254, 3), el(0x4255, b"\xff\xfb")))))
srt = entry(3, b"S_TEXT/UTF8", el(0x6D80, el(0x6240, num(0x5032, 3), el(0x5034, num(0x4254, 0)))))
locked = entry(4, b"V_VP9", el(0x6D80, el(0x6240, num(0x5033, 1), el(0x5035, num(0x47E1, 5)))))
laces = el(0x1F43B675, num(0xE7, 5), block(1, 0, b"\1\2\1\2\3\4", 0x82), block(1, 9, b"\1\x82\1\2\3\4", 0x86), block(1, 18, b"\1\1\2\3\4", 0x84),
           block(2, 3, b"\2\3\2abcdefgh", 2), block(2, 99, b"\2\x83\xbeabcdefgh", 6), block(3, 1, zlib.compress(b"hello" * 9)), block(4, 1, b"x"))
save("demux", "mkv-laces", mkv + ebml(b"matroska") + el(0x18538067, el(0x1654AE6B, pcm, mp3, srt, locked), laces, b"\1\2\3", laces))

def box(kind, *parts):
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind.encode() + body


def full(kind, version, flags, *parts):
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def u32(*values):
    return struct.pack(f">{len(values)}i" if any(v < 0 for v in values) else f">{len(values)}I", *values)


def trak(number, handler, scale, entry, *tables, edits=b""):
    stbl = box("stbl", full("stsd", 0, 0, u32(1), entry), *tables)
    mdia = box("mdia", full("mdhd", 0, 0, u32(0, 0, scale, 0), b"\x15\xc7\0\0"),
               full("hdlr", 0, 0, u32(0), handler, bytes(13)), box("minf", stbl))
    matrix = u32(0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    return box("trak", full("tkhd", 0, 7, u32(0, 0, number, 0, 0), bytes(16), matrix, bytes(8)), edits, mdia)


def table(kind, *entries, version=0):
    return full(kind, version, 0, u32(len(entries)), *[u32(*e) for e in entries])


sps = bytes.fromhex("6764001facb402802dd0800000030080000018078c1950")
avcc = b"\x01" + sps[1:4] + b"\xff\xe1" + struct.pack(">H", len(sps)) + sps + b"\x01\0\x04\x68\xee\x3c\xb0"
avc1 = box("avc1", bytes(7), b"\x01", bytes(16), struct.pack(">HH", 16, 16), bytes(50), box("avcC", avcc), box("pasp", u32(4, 3)))
sowt = box("sowt", bytes(7), b"\x01", bytes(8), struct.pack(">HHI", 2, 16, 0), u32(8000 << 16))
esds = full("esds", 0, 0, b"\x03\x19\0\0\0\x04\x11\x40\x15", bytes(11), b"\x05\x02\x12\x10\x06\x01\x02")
mp4a = box("mp4a", bytes(7), b"\x01", bytes(8), struct.pack(">HHI", 2, 16, 0), u32(44100 << 16), esds)
wvtt = box("wvtt", bytes(7), b"\x01", box("vttC", b"WEBVTT"))
unit = b"\0\0\0\x02\x65\x88"
cue = box("vttc", box("payl", b"hi"))
mvhd = full("mvhd", 0, 0, u32(0, 0, 1000, 0), bytes(80))
elst = box("edts", full("elst", 0, 0, u32(2, 40, -1, 65536, 100, 2, 65536)))
ftyp = box("ftyp", b"isom", u32(0))


def movie(at):
    video = trak(1, b"vide", 25, avc1, table("stts", (4, 1)), table("ctts", (1, 1), (1, 2), (2, -1), version=1), table("stsc", (1, 2, 1)),
                 full("stsz", 0, 0, u32(6, 4)), table("stco", (at,), (at + 44,)), table("stss", (1,), (3,)), edits=elst)
    sound = trak(2, b"soun", 8000, sowt, table("stts", (16, 1)), table("stsc", (1, 8, 1)), full("stsz", 0, 0, u32(4, 16)),
                 full("co64", 0, 0, u32(2), struct.pack(">QQ", at + 12, at + 56)))
    text = trak(3, b"text", 1000, wvtt, table("stts", (2, 40)), table("stsc", (1, 1, 1)), full("stz2", 0, 0, u32(8, 2), b"\x12\x08"),
                table("stco", (at + 88,), (at + 106,)))
    return box("moov", mvhd, video, sound, text)


chunk = unit * 2 + bytes(range(32))
mdat = box("mdat", chunk * 2 + cue + box("vtte"))
mp4 = number("mp4::FORMAT")
save("demux", "mp4-first", bytes([mp4, 61]) + ftyp + movie(len(ftyp + movie(0)) + 8) + mdat)
save("demux", "mp4-last", bytes([mp4, 7]) + ftyp + box("free") + mdat + movie(len(ftyp) + 16))
trex = [full("trex", 0, 0, u32(n, 1, 1, 0, 0)) for n in (1, 2)]
empty = table("stts"), table("stsc"), full("stsz", 0, 0, u32(0, 0)), table("stco")
init = box("moov", mvhd, trak(1, b"vide", 25, avc1, *empty), trak(2, b"soun", 44100, mp4a, *empty), box("mvex", *trex))
tfxd = box("uuid", bytes.fromhex("6d1d9b0542d544e680e2141daff757b2"), u32(1 << 24, 0, 7, 0, 2))


def fragment(n, base):
    def moof(at):
        video = box("traf", full("tfhd", 0, 0x20020, u32(1, 0x1010000)), base,
                    full("trun", 1, 0xA05, u32(2, at, 0x2000000, 6, 0, 6, -1)))
        sound = box("traf", full("tfhd", 0, 0x20008, u32(2, 1024)), full("trun", 0, 0x201, u32(2, at + 12, 3, 4)))
        return box("moof", full("mfhd", 0, 0, u32(n)), video, sound)
    return moof(len(moof(0)) + 8) + box("mdat", unit * 2 + b"audio77")


pieces = [fragment(n, full("tfdt", 1, 0, struct.pack(">Q", n * 2))) for n in range(3)]
sidx = full("sidx", 0, 0, u32(1, 25, 0, 0, len(pieces)), *[u32(len(p), 2, 0x90000000) for p in pieces])
save("demux", "mp4-fragments", bytes([mp4, 61]) + ftyp + init + sidx + b"".join(pieces))
save("demux", "mp4-smooth", bytes([mp4, 9]) + init + fragment(1, tfxd) + fragment(2, b""))
def mpeg_audio(layer3, frames, rate=9):
    """Silent frames at 44.1 kHz in stereo."""
    head = bytes([0xFF, 0xFB if layer3 else 0xFD, rate << 4, 0x64])
    kbit = ([32, 40, 48, 56, 64, 80, 96, 112, 128] if layer3 else [32, 48, 56, 64, 80, 96, 112, 128, 160])[rate - 1]
    return (head + bytes(144000 * kbit // 44100 - 4)) * frames


def adts(payloads, blocks=1, crc=False):
    out = b""
    for p in payloads:
        size = len(p) + (9 if crc else 7)
        out += bytes([0xFF, 0xF0 if crc else 0xF1, 0x50, 0x80 | size >> 11, size >> 3 & 255, (size & 7) << 5 | 31, 0xFC | blocks - 1])
        out += (b"\0\0" if crc else b"") + p
    return out


id3 = b"ID3\x04\0\0\0\0\0\x3fPRIV\0\0\0\x35\0\0com.apple.streaming.transportStreamTimestamp\0" + bytes(5) + b"\x0d\xbd\x58"
xing = bytearray(mpeg_audio(True, 1))
xing[36:48] = b"Xing\0\0\0\x07\0\0\0\x05"
xing[48:52] = struct.pack(">I", 6 * len(xing))
tags = b"APETAGEX\xd0\x07\0\0\x20\0\0\0\0\0\0\0\0\0\0\x80" + bytes(8) + b"LYRICSBEGINx" + b"TAG" + bytes(125)
raw = {
    "mp3": id3 + xing + mpeg_audio(True, 5, 5) + b"\xffnoise" + mpeg_audio(True, 4, 1) + tags,
    "mp2": mpeg_audio(False, 4, 3),
    "free": b"".join(b"\xff\xfb\0\x64" + bytes(96) for _ in range(5)),
    "adts": id3 + adts([b"\x21\x10\x04", b"\x21\x10\x04\x05", b"\x21"]) + b"\0\0x" + adts([b"\x21\x10"] * 4),
    "adts-blocks": adts([b"\0\x09\0\0" + b"\x21" * 12 + b"\0\0"] * 4, 2, True),
    "ac3": b"".join(b"\x0b\x77\0\0\0\x40\x2f\x84" + bytes(120) for _ in range(4)),
    "h264": bytes.fromhex("00000001 09f0 00000001 6764001facb402802dd0800000030080000018078c1950 00000001 68ee3cb0 00000001 0605 0180 000001 65888400aa")
    + b"".join(bytes.fromhex("00000001 09f0 000001 419a") + bytes([n * 16, 0x11, 0x22]) for n in range(12)),
    "hevc": bytes.fromhex("00000001 40010c01ffff01600000030090000003000003005a959809 00000001 42010101600000030090000003000003005aa006b201e1d796566924cae68080000003008000000f04 00000001 4401c172b46240")
    + b"".join(bytes.fromhex("00000001 2601af0a") if n % 5 == 0 else bytes.fromhex("00000001 0201d0") + bytes([n * 8, 0x77]) for n in range(12)),
}
for name, data in raw.items():
    of = {"mp3": "mp3", "mp2": "mp3", "free": "mp3", "adts": "adts", "adts-blocks": "adts", "ac3": "ac3"}.get(name, "annexb")
    save("demux", name, bytes([number(f"{of}::FORMAT"), 61]) + data)
srt = "1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>a</i>\r\n\r\n2\n00:00:00.5 --> 00:00:04,000 X1:1\nb\n\n7\n\nc\nx --> y\n"
vtt = ("WEBVTT - x\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:90000\n\nSTYLE\n::cue {}\n\nNOTE n\n\nid\n00:01.000 --> 00:02.000 line:0\n"
       "<v A>b &amp;\nc\n00:03.000 --> 00:04.000\nd\n")
for name, text, fmt in (("srt", srt, "text::SRT"), ("vtt", vtt, "text::VTT")):
    for coding in ("utf-8", "utf-16"):
        save("demux", f"{name}-{coding}", bytes([number(fmt), 3]) + text.encode(coding))

# A format, the way that it is written, and decisions: two plans of each of the three ways for every format.
for name in re.findall(r"&(\w+)::(\w+)", (ROOT.parent / "mist-formats/src/lib.rs").read_text().split("FORMATS: &[&FormatDef] =")[1]):
    n = number("::".join(name))
    for way in range(6):
        bits = random.Random(100 * n + way)
        label = name[0] if name[1] == "FORMAT" else name[1].lower()
        save("mux_round_trip", f"{label}-{way}", bytes([n, way]) + bits.randbytes(80 + 60 * way))


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


def rtp(sequence, time, payload, channel=0, marker=1):
    data = struct.pack(">BBHII", 0x80, marker << 7 | 96, sequence, time, 7) + payload
    return struct.pack(">cBH", b"$", channel, len(data)) + data


record = (CLIPS / "rtsp-record.c2s.bin").read_bytes()
save("rtsp", "record", b"\x3d\0" + record)
save("rtsp", "answers", b"\x05\0" + (CLIPS / "rtsp-record.s2c.bin").read_bytes())
report = bytes.fromhex("80c80006 00000007 e0000001 80000000 00010000 00000007 00000100 81ca0003 00000007 01036d652100 0000 81cb0001 00000007")
save("rtsp", "reports", b"\x09\x09" + b"$\x01" + struct.pack(">H", len(report)) + report + rtp(9, 65536, b"\xfc123") + rtp(11, 67456, b"\xfc45") + rtp(10, 66496, b"\xf86"))
payloads = {
    0: [(0, b"\x18\0\x09" + b"\x67\x42\0\x1e\xda\x02\x80\xbf\xe5" + b"\0\x04\x68\xce\x3c\x80", 0), (0, b"\x7c\x85\x88\x80", 0), (0, b"\x7c\x45\x10", 1), (3000, b"\x41\x9a\0", 1)],
    1: [(0, b"\x60\x01\0\x03\x40\x01\x07\0\x03\x46\x01\x50", 0), (0, b"\x62\x01\x93\x80\x01", 0), (0, b"\x62\x01\x53\x03", 1)],
    2: [(0, b"\0\x20\0\x08\0\x10abc", 1), (2048, b"\0\x10\0\x20ab", 0), (2048, b"\0\x10\0\x20cd", 1)],
    3: [(0, b"\0\x0b\x04\0\0ab", 1)],
    4: [(0, b"\0abcdef", 1)],
    5: [(0, b"\x40\0\x24\x20\x3f\xc0\x03abc", 1)],
    6: [(0, b"\x03abc", 1), (1024, b"\x03a", 0), (1024, b"bc", 1)],
    7: [(0, bytes(4) + b"\xff\xfb\x14\xc0" + bytes(92), 1), (2160, bytes(4) + b"\xff\xfb\x14\xc0" + bytes(40), 0), (2160, b"\0\0\0\x2c" + bytes(52), 1)],
    8: [(0, b"\0\x01\x0b\x77\0\0\0\x40\x40\0" + bytes(120), 1)],
    10: [(0, b"abcdefgh", 1)],
    12: [(0, b"\x90\xf0\x80\x01\x02\x03\x10\0\0\x9d\x01\x2a\x10\0\x10\0", 0), (0, b"\x80\x80\x01x", 1)],
    13: [(0, b"\xaa\x81\x02\x01\x02\x18\x01\x02\x03\x04\x01\x08\x05\x06\x82\x49\x83\x42\0\0\xf0\0\xf0", 0), (0, b"\x84\x03x", 1)],
    14: [(0, b"\x01\x02\x0b\x77\0\x7f\x34\x80" + bytes(94), 0), (0, b"\x01\x02" + bytes(156), 1)],
}
for pick, packets in payloads.items():
    save("rtsp", f"payload-{pick}", bytes([7, pick]) + b"".join(rtp(65534 + n & 0xFFFF, t, p, marker=m) for n, (t, p, m) in enumerate(packets)))
camera = b"""v=0\r\no=- 1 1 IN IP4 0\r\ns=x\r\na=control:*\r\nm=video 0 RTP/AVP 96 \r\na=framerate:0S\r\na=rtpmap:96 H265/90000\r\na=framerate:25\r
a=fmtp:96 profile-id=1;sprop-vps=QAEMAf//AWAAAAMAAAMAAAMAAAMAlqwJ;sprop-sps=QgEBAWAAAAMAAAMAAAMAAAMAlqABQCAFof4qtO6JLuaAgA27oADN/mAE;sprop-pps=RAHAcvAbJA==\r
a=control:track1\r\nm=audio 0 RTP/AVP 8\t \r\na=recvonly\r\n\0"""
save("rtsp", "camera", b"\x50\0RTSP/1.0 200 OK\nCseq: 1\nContent-length: " + str(len(camera)).encode() + b"\n\n" + camera
     + b"RTSP/1.0 200 OK\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nRTP-Info: url=rtsp://h/track1;seq=1;rtptime=7,url=track2;rtptime=-1\r\n\r\n"
     + rtp(1, 7, b"\x26\x01\xaf\x00") + rtp(1, 8, b"abc", 2))
