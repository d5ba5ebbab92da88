"""A client on top of PyPI's `av`, whose libav is newer than Debian's and knows enhanced RTMP.

    libav.py publish FILE URL      copies the packets to the URL in real time
    libav.py play URL              prints one JSON line a packet: media.Packet with the bytes instead of their hash
"""

import base64
import json
import sys
import time

import av


def publish(source, url):
    with av.open(source) as inp, av.open(url, "w", format="flv") as out:
        streams = {s.index: out.add_stream_from_template(s, opaque=True) for s in inp.streams}
        start = first = None
        for packet in inp.demux():
            if packet.dts is None:
                continue
            at = float(packet.dts * packet.time_base)
            if start is None:
                start, first = time.monotonic(), at
            time.sleep(max(0, start + at - first - time.monotonic()))
            packet.stream = streams[packet.stream.index]
            out.mux(packet)


def play(url):
    with av.open(url) as inp:
        for packet in inp.demux():
            if packet.dts is None:
                continue
            name = packet.stream.codec_context.codec.canonical_name
            print(json.dumps({
                "track": name, "dts": float(packet.dts * packet.time_base), "pts": float(packet.pts * packet.time_base),
                "key": bool(packet.is_keyframe), "data": base64.b64encode(bytes(packet)).decode(),
                "extradata": base64.b64encode(packet.stream.codec_context.extradata or b"").decode()}), flush=True)


if __name__ == "__main__":
    {"publish": publish, "play": play}[sys.argv[1]](*sys.argv[2:])
