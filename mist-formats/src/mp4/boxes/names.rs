//! Names of boxes, for tools that show structure.

use super::super::codecs::FourCc;

/// Every box that has a name here; those of the first list hold boxes, after this many bytes of their own.
#[rustfmt::skip]
const HOLDERS: &[(&str, usize)] = &[
    ("moov", 0), ("trak", 0), ("edts", 0), ("mdia", 0), ("minf", 0), ("dinf", 0), ("stbl", 0), ("mvex", 0), ("moof", 0),
    ("traf", 0), ("mfra", 0), ("udta", 0), ("sinf", 0), ("schi", 0), ("tref", 0), ("gmhd", 0), ("wave", 0), ("dref", 8),
    ("stsd", 8), ("avc1", 78), ("avc3", 78), ("hvc1", 78), ("hev1", 78), ("av01", 78), ("vp08", 78), ("vp09", 78),
    ("mp4v", 78), ("encv", 78), ("jpeg", 78), ("Opus", 28), ("fLaC", 28), ("ac-3", 28), ("ec-3", 28), ("wvtt", 8),
];
#[rustfmt::skip]
const LEAVES: &[&str] = &[
    "alac", "av1C", "avcC", "bloc", "btrt", "c608", "cdat", "chap", "clap", "clef", "co64", "colr", "cslg", "ctts", "dOps",
    "dac3", "data", "dec3", "dfLa", "elng", "elst", "emsg", "enca", "enda", "enof", "esds", "fiel", "fpcm", "free", "frma",
    "ftyp", "gmin", "hdlr", "hint", "hvcC", "ilst", "iods", "ipcm", "keys", "load", "lpcm", "mdat", "mdhd", "mehd", "meta",
    "mfhd", "mfro", "mp4a", "mvhd", "nmhd", "padb", "pasp", "pcmC", "pdin", "pnot", "prft", "prof", "pssh", "saio", "saiz",
    "sbgp", "schm", "sdtp", "senc", "sgpd", "sidx", "skip", "smhd", "sowt", "ssix", "sthd", "stco", "stdp", "stpp", "stps",
    "stsc", "stsh", "stss", "stsz", "sttg", "stts", "styp", "stz2", "subs", "tapt", "tenc", "tfdt", "tfhd", "tfra", "tkhd",
    "tmcd", "trep", "trex", "trun", "twos", "tx3g", "ulaw", "alaw", "url ", "urn ", "uuid", "vmhd", "vpcC", "vttC", "wide",
];

/// The name of a box as it shows itself: its four characters where they are known.
pub(in super::super) fn name(kind: &FourCc) -> &'static str {
    let text = std::str::from_utf8(kind).unwrap_or("");
    let all = HOLDERS.iter().map(|(n, _)| *n).chain(LEAVES.iter().copied());
    all.into_iter().find(|n| *n == text).unwrap_or("box")
}

/// Whether it is a box that files begin with or have at the top.
pub(in super::super) fn is_known(kind: &FourCc) -> bool {
    name(kind) != "box"
}

/// How many bytes precede the boxes in it, where it holds boxes.
pub(in super::super) fn holds(kind: &FourCc) -> Option<usize> {
    HOLDERS.iter().find(|(n, _)| n.as_bytes() == kind).map(|(_, skip)| *skip)
}
