//! Which entry of the catalogue a demuxer's trouble is.

use crate::problem::Sort;
use mist_core::format::{ErrorKind, FormatError};

/// The entry for an error: by its kind, and where one kind means different things in the format and the place. `None` for
/// what is found beside the demuxer with more to say of it.
pub(crate) fn sort(e: &FormatError) -> Option<Sort> {
    use ErrorKind as K;
    let place = e.path.rsplit('/').next().unwrap_or("");
    Some(match (e.kind, e.format) {
        // Each track is watched, which also knows how far.
        (K::TimeBack, _) => return None,
        (K::Truncated, _) => Sort::Truncated,
        (K::NeedsSeek, _) => Sort::Unreadable,
        (K::Checksum(_), _) => Sort::Checksum,
        (K::Encrypted(_), _) => Sort::Encrypted,
        (K::Unsupported(_), "MP4") if place == "elst" => Sort::EditList,
        // What is not read for want of support or by a limit is no fault of the source.
        (K::Unsupported(_), _) => Sort::Unsupported,
        (K::Limit(_), _) => Sort::Limit,
        (K::Lost(_), "TS") => Sort::Continuity,
        (K::Lost(_) | K::Sync(_), "OGG") => Sort::OggHole,
        (K::Malformed(_), "OGG") if place == "granule" => Sort::OggGranule,
        (K::Sync(_), "TS") => Sort::TsSync,
        (K::Missing(_), "TS") if place == "PAT" => Sort::NoPat,
        (K::Missing(_), "FLV") if place == "video" => Sort::NoParameterSets,
        (K::Missing(_), "TS" | "ANNEXB" | "RTSP") => Sort::NoParameterSets,
        (K::Size(_), "FLV") if matches!(place, "tag" | "header") => Sort::FlvTagSize,
        (K::Size(_), "MKV") if place == "Lacing" => Sort::Lacing,
        (K::Size(_) | K::Malformed(_), "MP4") if in_sample_tables(e.path) => Sort::SampleTable,
        (K::Size(_), "MP4" | "MKV") => Sort::BoxSize,
        (K::UnitSize(_), _) => Sort::UnitLengths,
        _ => Sort::Malformed,
    })
}

/// Whether a box tells where samples lie, how long they are and when they are due.
fn in_sample_tables(path: &str) -> bool {
    !path.ends_with("stsd") && path.split('/').any(|p| matches!(p, "stbl" | "traf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_entry_by_format_and_place() {
        use ErrorKind as K;
        let of = |format, path, kind| sort(&FormatError { format, offset: 0, path, kind });
        for (format, path, kind, want) in [
            ("TS", "", K::Lost(""), Sort::Continuity),
            ("TS", "", K::Sync(""), Sort::TsSync),
            ("TS", "PMT", K::Checksum(""), Sort::Checksum),
            ("TS", "PAT", K::Missing(""), Sort::NoPat),
            ("TS", "PES", K::Missing(""), Sort::NoParameterSets),
            ("TS", "", K::Encrypted(""), Sort::Encrypted),
            ("FLV", "tag", K::Size(""), Sort::FlvTagSize),
            ("FLV", "video", K::UnitSize(""), Sort::UnitLengths),
            ("FLV", "tag", K::Limit(""), Sort::Limit),
            ("FLV", "", K::Truncated, Sort::Truncated),
            ("FLV", "video", K::Missing(""), Sort::NoParameterSets),
            ("FLV", "audio", K::Missing(""), Sort::Malformed),
            ("MP4", "moov/trak/elst", K::Unsupported(""), Sort::EditList),
            ("MP4", "moov/trak/elst", K::Size(""), Sort::BoxSize),
            ("MP4", "moov/trak/mdia/minf/stbl/stsc", K::Malformed(""), Sort::SampleTable),
            ("MP4", "moov/trak/mdia/minf/stbl/stsd", K::Malformed(""), Sort::Malformed),
            ("MP4", "moof/traf/trun", K::Size(""), Sort::SampleTable),
            ("MP4", "moov", K::Size(""), Sort::BoxSize),
            ("MKV", "Segment/Cluster", K::Size(""), Sort::BoxSize),
            ("MKV", "Segment/Cues", K::Missing(""), Sort::Malformed),
            ("MKV", "Segment/Cluster/Block/Lacing", K::Size(""), Sort::Lacing),
            ("MKV", "Segment/Tracks/TrackEntry/CodecPrivate", K::Malformed(""), Sort::Malformed),
            ("OGG", "page", K::Lost(""), Sort::OggHole),
            ("OGG", "page", K::Checksum(""), Sort::Checksum),
            ("OGG", "page/granule", K::Malformed(""), Sort::OggGranule),
        ] {
            assert_eq!(of(format, path, kind), Some(want), "{format} {path} {kind:?}");
        }
        assert_eq!(of("MKV", "", K::TimeBack), None, "the track says it");
    }
}
