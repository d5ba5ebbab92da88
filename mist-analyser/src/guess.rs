//! Which entry of the catalogue a demuxer's words mean.

use crate::problem::Sort;
use mist_core::format::{ErrorKind, FormatError};

/// By format (empty for any) and a word in the place or the rule.
const WORDS: &[(&str, &str, Sort)] = &[
    ("MKV", "codecprivate", Sort::Malformed),
    ("MKV", "wrong place", Sort::Malformed),
    ("", "crc", Sort::Checksum),
    ("", "checksum", Sort::Checksum),
    ("", "encrypted", Sort::Encrypted),
    ("", "scrambled", Sort::Encrypted),
    ("", "parameter sets", Sort::NoParameterSets),
    ("", "unit length", Sort::UnitLengths),
    ("FLV", "previoustagsize", Sort::FlvTagSize),
    ("TS", "continuity_counter", Sort::Continuity),
    ("TS", "sync byte", Sort::TsSync),
    ("TS", "no program", Sort::NoPat),
    ("MP4", "edit", Sort::EditList),
    ("MP4", "elst", Sort::EditList),
    ("MP4", "beyond", Sort::BoxSize),
    ("MP4", "box size", Sort::BoxSize),
    ("MP4", "stbl", Sort::SampleTable),
    ("MP4", "chunk", Sort::SampleTable),
    ("MP4", "sample", Sort::SampleTable),
    ("MP4", "entries", Sort::SampleTable),
    ("MP4", "data offset", Sort::SampleTable),
    ("MKV", "lacing", Sort::Lacing),
    ("MKV", "lace", Sort::Lacing),
    ("MKV", "cues", Sort::NoCues),
    ("MKV", "beyond", Sort::BoxSize),
    ("MKV", "without a size", Sort::BoxSize),
    ("OGG", "granule", Sort::OggGranule),
    ("OGG", "pages are missing", Sort::OggHole),
    ("OGG", "didn't begin", Sort::OggHole),
    ("OGG", "not continued", Sort::OggHole),
    ("OGG", "no page", Sort::OggHole),
];

/// The entry that fits best.
pub(crate) fn sort(e: &FormatError) -> Sort {
    let said = match e.kind {
        ErrorKind::Truncated => return Sort::Truncated,
        ErrorKind::NeedsSeek => return Sort::Unreadable,
        ErrorKind::Malformed(what) | ErrorKind::Unsupported(what) | ErrorKind::Limit(what) => what,
        _ => "",
    };
    let text = format!("{} {said}", e.path).to_ascii_lowercase();
    let fits = |w: &&(&str, &str, Sort)| (w.0.is_empty() || w.0 == e.format) && text.contains(w.1);
    let word = WORDS.iter().find(fits).map(|w| w.2);
    match (e.kind, word) {
        // What is not read for want of support or by a limit is no fault of the file, but for what is known by name.
        (ErrorKind::Unsupported(_), Some(s @ (Sort::Encrypted | Sort::EditList))) => s,
        (ErrorKind::Unsupported(_), _) => Sort::Unsupported,
        (ErrorKind::Limit(_), _) => Sort::Limit,
        (_, Some(s)) => s,
        _ => Sort::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_demuxers_have_their_entry() {
        let of = |format, path, kind| sort(&FormatError { format, offset: 0, path, kind });
        let bad = ErrorKind::Malformed;
        for (format, path, kind, want) in [
            ("TS", "", bad("continuity_counter: packets are missing"), Sort::Continuity),
            ("TS", "", bad("sync byte"), Sort::TsSync),
            ("TS", "PMT", bad("CRC"), Sort::Checksum),
            ("TS", "PES", bad("pictures before their parameter sets"), Sort::NoParameterSets),
            ("TS", "", ErrorKind::Unsupported("scrambled stream"), Sort::Encrypted),
            ("FLV", "tag", bad("PreviousTagSize"), Sort::FlvTagSize),
            ("MP4", "moov/trak/edts/elst", bad("media time"), Sort::EditList),
            ("MP4", "moov/trak/mdia/minf/stbl/stsc", bad("first chunk"), Sort::SampleTable),
            ("MP4", "moov", bad("box beyond its parent"), Sort::BoxSize),
            ("MKV", "Segment/Cluster", bad("element beyond its parent"), Sort::BoxSize),
            ("MKV", "Segment/Tracks/TrackEntry/CodecPrivate", bad("Xiph lacing"), Sort::Malformed),
            ("OGG", "page", bad("pages are missing before this one"), Sort::OggHole),
            ("OGG", "page", bad("wrong checksum; went on at the next page"), Sort::Checksum),
            ("FLV", "tag", ErrorKind::Limit("sample"), Sort::Limit),
            ("FLV", "", ErrorKind::Truncated, Sort::Truncated),
        ] {
            assert_eq!(of(format, path, kind), want, "{format} {path} {kind:?}");
        }
    }
}
