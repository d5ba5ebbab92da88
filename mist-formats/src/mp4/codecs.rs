//! Which sample entry and object type stands for which codec: the table for reading.

use mist_core::codec::Codec;

/// A sample entry's type, or a box's: four characters.
pub(super) type FourCc = [u8; 4];

/// Sample entry types by codec. `mp4a` and `mp4v` stand for what their `esds` says ([`OBJECT_TYPES`]).
#[rustfmt::skip]
const ENTRIES: &[(Codec, &[FourCc])] = &[
    (Codec::H264, &[*b"avc1", *b"avc3", *b"avc2", *b"avc4", *b"dva1", *b"dvav"]),
    (Codec::Hevc, &[*b"hvc1", *b"hev1", *b"dvh1", *b"dvhe"]),
    (Codec::Av1, &[*b"av01"]),
    (Codec::Vp8, &[*b"vp08"]),
    (Codec::Vp9, &[*b"vp09"]),
    // Apple's own names for what MPEG calls mp4v: MPEG-2 from cameras and editors, by rate and size.
    (Codec::Mpeg2, &[*b"mp2v", *b"m2v1", *b"mpg2", *b"hdv1", *b"hdv2", *b"hdv3", *b"hdv5", *b"hdv6", *b"xdv1",
        *b"xdv2", *b"xdv3", *b"xdv4", *b"xdv5", *b"xdv6", *b"xd54", *b"xd55", *b"xd59", *b"xd5a", *b"xd5b",
        *b"xd5c", *b"mx5p", *b"mx5n", *b"mpeg", *b"m1v "]),
    (Codec::Jpeg, &[*b"jpeg", *b"mjpa", *b"dmb1", *b"AVDJ"]),
    (Codec::Mp3, &[*b".mp3", *b"mp3 ", *b"ms\0U"]),
    (Codec::Mp2, &[*b".mp2", *b".mp1", *b"ms\0P"]),
    (Codec::Ac3, &[*b"ac-3", *b"sac3"]),
    (Codec::Eac3, &[*b"ec-3"]),
    (Codec::Dts, &[*b"dtsc", *b"dtsh", *b"dtsl", *b"dtse"]),
    (Codec::Opus, &[*b"Opus"]),
    (Codec::Flac, &[*b"fLaC"]),
    // ffmpeg's, in QuickTime files.
    (Codec::Vorbis, &[*b"msVo"]),
    (Codec::Alac, &[*b"alac"]),
    (Codec::Pcm, &[*b"twos", *b"sowt", *b"ipcm", *b"lpcm", *b"in24", *b"in32", *b"raw ", *b"NONE"]),
    (Codec::PcmFloat, &[*b"fpcm", *b"fl32", *b"fl64"]),
    (Codec::Alaw, &[*b"alaw", *b"ms\0\x06"]),
    (Codec::Ulaw, &[*b"ulaw", *b"ms\0\x07"]),
    (Codec::Tx3g, &[*b"tx3g"]),
    (Codec::WebVtt, &[*b"wvtt"]),
    (Codec::Stpp, &[*b"stpp"]),
    (Codec::Cea608, &[*b"c608"]),
];

/// Object types of an `esds` (ISO/IEC 14496-1 table 5, with what mp4ra.org registers).
#[rustfmt::skip]
const OBJECT_TYPES: &[(Codec, &[u8])] = &[
    (Codec::H264, &[0x21]),
    (Codec::Hevc, &[0x23]),
    (Codec::Mpeg4, &[0x20]),
    (Codec::Mpeg2, &[0x61, 0x60, 0x62, 0x63, 0x64, 0x65, 0x6a]),
    (Codec::Jpeg, &[0x6c]),
    (Codec::Vp9, &[0xb1]),
    (Codec::Aac, &[0x40, 0x66, 0x67, 0x68]),
    (Codec::Mp3, &[0x6b, 0x69]),
    (Codec::Ac3, &[0xa5]),
    (Codec::Eac3, &[0xa6]),
    (Codec::Dts, &[0xa9, 0xaa, 0xab, 0xac]),
    (Codec::Opus, &[0xad]),
    (Codec::Vorbis, &[0xdd]),
];

/// The codec that a sample entry stands for; `None` for unknown ones and for those whose `esds` tells.
pub(super) fn of_entry(entry: FourCc) -> Option<Codec> {
    ENTRIES.iter().find(|(_, l)| l.contains(&entry)).map(|(c, _)| *c)
}

/// The codec that an object type stands for.
pub(super) fn of_object_type(object_type: u8) -> Option<Codec> {
    OBJECT_TYPES.iter().find(|(_, l)| l.contains(&object_type)).map(|(c, _)| *c)
}
