"""FLV tags, read and written without any of the project's own code."""

from dataclasses import dataclass

AUDIO, VIDEO, SCRIPT = 8, 9, 18


@dataclass
class Tag:
    kind: int
    time: int  # milliseconds, modulo 2^32
    body: bytes

    @property
    def is_config(self):
        """Codec set-up, script data, or nothing that a player would show."""
        if self.kind == SCRIPT:
            return True
        first = self.body[0]
        if self.kind == VIDEO:
            if first & 0x80:  # enhanced: the packet type is in the low bits
                return first & 0x0F not in (1, 3)
            return first & 0x0F == 7 and self.body[1] != 1
        if first >> 4 == 9:  # enhanced audio
            return first & 0x0F != 1
        return first >> 4 == 10 and self.body[1] == 0

    @property
    def is_key(self):
        return self.kind == VIDEO and (self.body[0] >> 4) & 7 == 1


def read(data):
    """All whole tags of an FLV file; what is cut off at the end is left out."""
    assert data[:3] == b"FLV", data[:16]
    at = int.from_bytes(data[5:9], "big") + 4
    tags = []
    while at + 11 <= len(data):
        size = int.from_bytes(data[at + 1:at + 4], "big")
        if at + 11 + size > len(data):
            break
        time = int.from_bytes(data[at + 4:at + 7], "big") | data[at + 7] << 24
        if size:
            tags.append(Tag(data[at] & 0x1F, time, data[at + 11:at + 11 + size]))
        at += 11 + size + 4
    return tags


def write(tags):
    """An FLV file of these tags."""
    kinds = {t.kind for t in tags}
    out = [b"FLV\x01", bytes([(AUDIO in kinds) << 2 | (VIDEO in kinds)]), b"\0\0\0\x09\0\0\0\0"]
    for t in tags:
        time = t.time & 0xFFFFFFFF
        head = bytes([t.kind]) + len(t.body).to_bytes(3, "big") + (time & 0xFFFFFF).to_bytes(3, "big") + bytes([time >> 24])
        out += [head, b"\0\0\0", t.body, (11 + len(t.body)).to_bytes(4, "big")]
    return b"".join(out)
