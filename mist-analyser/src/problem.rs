//! What can be wrong: the catalogue, and how much of what was found is kept.

use crate::entry;
use mist_core::format::{ErrorKind, FormatError};
use mist_core::media::TrackId;
use mist_core::time::Timestamp;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Problems of one sort that are kept with their particulars; the rest is only counted.
pub(crate) const MAX_KEPT: usize = 100;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// Worth knowing; the source is sound.
    Info,
    /// Media may play, but not everywhere or not well.
    Warning,
    /// Media is lost or breaks its standard.
    Error,
}

impl Severity {
    /// As the report has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! catalogue {
    ($($group:literal { $($sort:ident = $id:literal, $severity:ident, $about:literal, $effect:literal;)* })*) => {
        /// The sorts of problems, with ids that don't change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Sort { $($(#[doc = $about] $sort,)*)* }

        impl Sort {
            /// All of them by the part of a stream that they are about, in the order of the catalogue.
            pub(crate) const ALL: &'static [(&'static str, &'static [Self])] =
                &[$(($group, &[$(Self::$sort),*]),)*];

            /// Its id, how bad it is, what it is, and what a player will do.
            const fn entry(self) -> (&'static str, Severity, &'static str, &'static str) {
                match self { $($(Self::$sort => ($id, Severity::$severity, $about, $effect),)*)* }
            }
        }
    };
}

catalogue! {
    "any source" {
        Unreadable = "unreadable", Error, "The source can't be opened or recognised", "nothing plays";
        NoMedia = "no-media", Error, "No track has a packet", "there is nothing to play";
        Truncated = "truncated", Error, "The source ends inside a structure", "playback ends early, and some players refuse the whole";
        Malformed = "malformed", Error, "Bytes break the container's or codec's rules", "players skip what is damaged or stop here";
        Unsupported = "unsupported", Warning, "Something legal that is not read here", "players that don't know it either leave it out";
        Limit = "limit", Warning, "More or larger than is read", "the rest is left out here, and other readers have limits too";
        Encrypted = "encrypted", Warning, "The media is encrypted", "only players with the key show it";
        BadTag = "bad-tag", Info, "Metadata tags break their rules", "players show wrong titles, none, or take the tag for media";
        Checksum = "crc", Error, "A checksum doesn't fit its data", "players drop the page, table or packet";
    }
    "timing" {
        TimeBack = "time-back", Error, "Decoding times of a track go back", "players stall, jump, or drop everything until the old time is reached";
        Gap = "gap", Warning, "A hole between two packets of a track", "players wait or show a still picture";
        PtsBeforeDts = "pts-before-dts", Error, "A picture is due before it can be decoded", "players drop it or show it late";
        WrongDuration = "wrong-duration", Warning, "Stamps or lengths disagree with how long the media is", "sound and picture drift apart, or the seek bar ends in the wrong place";
        Drift = "drift", Warning, "One track runs out long before another", "the last part plays without sound or with a still picture";
        StartOffset = "start-offset", Warning, "Tracks begin far apart", "sound or picture is missing at the start, or players play them shifted";
        Interleaving = "interleaving", Warning, "Packets of one time lie far apart in the source", "players need a large buffer, or stop again and again when they read over a network";
        TrackChange = "track-change", Info, "The description of a track changes in mid-stream", "players without a decoder that can be set up anew stop or show garbage";
        LongGop = "long-gop", Info, "More than ten seconds between keyframes", "joining and seeking take long";
    }
    "decoding" {
        NoKeyframeAtStart = "no-keyframe-at-start", Warning, "A video track begins with a picture that nothing can decode", "players show nothing, or garbage, until a keyframe comes";
        NoParameterSets = "no-parameter-sets", Error, "A video track has no SPS or PPS", "decoders can't start";
        FalseKeyframe = "false-keyframe", Error, "The container calls a picture a keyframe that isn't one", "seeking there shows garbage until the next keyframe";
        HiddenKeyframe = "hidden-keyframe", Info, "A keyframe that the container doesn't mark", "seeking never lands there";
        BitReservoir = "bit-reservoir", Info, "The first frame of MP3 needs data of frames that are missing", "players are silent for a moment, or leave the frame out";
        EmptyPacket = "empty-packet", Warning, "A packet without bytes", "decoders report an error or show the last picture again";
        UnitLengths = "nal-length", Error, "Lengths of NAL units don't fill their packet", "decoders drop the picture or report an error";
        SizeMismatch = "size-mismatch", Warning, "The container and the codec disagree on size, rate or channels", "players scale, pitch or mix wrongly until decoding tells";
    }
    "FLV, RTMP and RTSP" {
        FlvTagSize = "flv-tag-size", Warning, "PreviousTagSize is wrong", "players that read backwards or check it stop here";
        DialogueRefused = "refused", Error, "A peer answered with an error", "nothing is published or played";
        RtpMedia = "rtp-media", Info, "Media in RTP that is counted but not put together: nothing describes it, or its encoding is not read here", "players that speak RTSP show it";
        RtpLoss = "rtp-loss", Error, "Sequence numbers of RTP packets leave a hole", "pictures break up and sound clicks";
    }
    "MPEG-TS" {
        TsSync = "ts-sync", Error, "A sync byte is missing", "players look for the next packet and lose what lies between";
        Continuity = "continuity", Error, "A continuity counter leaves a hole: packets were lost", "pictures break up and sound clicks";
        TsDamaged = "ts-damaged", Error, "transport_error_indicator is set: a receiver couldn't correct the packet", "players drop the packet";
        NoPat = "no-pat", Error, "No PAT", "players that don't guess find no programme";
        NoPmt = "no-pmt", Error, "A programme of the PAT has no PMT", "players find no streams";
        PatInterval = "pat-interval", Info, "PATs more than 0.5 s apart (ETSI TR 101 290)", "joining takes longer";
        PmtInterval = "pmt-interval", Info, "PMTs more than 0.5 s apart (ETSI TR 101 290)", "joining takes longer";
        NoPcr = "no-pcr", Error, "No PCR on the PID that the PMT names", "hardware players don't start or lose their clock";
        PcrInterval = "pcr-interval", Warning, "PCRs more than 100 ms apart (ISO/IEC 13818-1)", "hardware players lose their clock";
        PcrJump = "pcr-jump", Error, "The PCR jumps without discontinuity_indicator", "players flush their buffers, freeze, or play at the wrong speed";
        PcrJitter = "pcr-jitter", Warning, "In a stream of constant rate a PCR is more than 500 ns from where its place puts it", "hardware players' clocks wander; colour or sound may fail";
        BufferOverflow = "t-std-overflow", Info, "Data comes before the buffer of the standard's decoder has room for it", "set-top boxes drop data";
        BufferUnderflow = "t-std-underflow", Warning, "The end of a picture or frame comes after its decoding time", "hardware players stutter";
    }
    "MP4" {
        BoxSize = "box-size", Error, "The size of a box (of an element in Matroska, a chunk in RIFF) doesn't fit its content or its parent", "many players refuse the file";
        SampleTable = "sample-table", Error, "Sample tables contradict each other or point outside the file", "samples are lost, or the file is refused";
        LateIndex = "late-index", Info, "moov lies behind the media", "players that read over a network fetch the end first, or the whole file";
        EncryptionBoxes = "encryption-boxes", Info, "Boxes of encryption where no track is said to be encrypted", "some players wait for a key";
        EditList = "edit-list", Info, "An edit list of several parts", "some players start late, shift sound against picture, or cut the end";
    }
    "Matroska" {
        NoCues = "no-cues", Info, "No Cues", "seeking needs a search through the file, and fails over plain HTTP";
        Lacing = "lacing", Error, "Lace sizes don't fit their block", "players drop the block";
    }
    "Ogg" {
        OggHole = "ogg-hole", Error, "Pages are missing or unreadable", "players skip what was in them";
        OggGranule = "ogg-granule", Warning, "A granule position is missing, goes back or doesn't fit", "times and seeking are wrong";
    }
    "HLS" {
        HlsSyntax = "hls-syntax", Error, "A playlist breaks its grammar", "strict players refuse the playlist, others leave the line out";
        HlsVersion = "hls-version", Info, "EXT-X-VERSION is lower than what is used asks for", "old players try it and fail";
        HlsFetch = "hls-fetch", Error, "A playlist, segment or initialisation section can't be fetched", "players stop, or go on with another variant";
        HlsTarget = "hls-target-duration", Error, "A segment is longer than EXT-X-TARGETDURATION", "players that buffer by it run empty, and Apple's refuse the stream";
        HlsDuration = "hls-duration", Warning, "EXTINF differs from how long the segment is", "seeking lands beside, and live players drift from the edge";
        HlsSequence = "hls-sequence", Error, "Media sequence numbers go back or name other segments than before", "live players play segments twice, skip some, or stop";
        HlsDiscontinuity = "hls-discontinuity", Error, "Times or codecs jump between segments without EXT-X-DISCONTINUITY, or its numbers go wrong", "players freeze, or play sound and picture shifted";
        HlsSegmentStart = "hls-segment-start", Warning, "The video of a segment doesn't begin with a keyframe", "seeking and switching variants show garbage or a pause there";
        HlsVariants = "hls-variants", Warning, "Segments of variants don't begin and end together", "switching repeats or skips something";
        HlsBandwidth = "hls-bandwidth", Warning, "Segments need more bits a second than BANDWIDTH promises", "players choose a variant that their network can't carry, and stall";
        HlsKey = "hls-key", Error, "A key can't be fetched, has the wrong length, or doesn't decrypt its segment", "players show nothing of it";
        HlsStall = "hls-stall", Error, "A live playlist got no new segment for more than three target durations", "players run empty";
    }
}

impl Sort {
    /// Its id.
    pub(crate) const fn id(self) -> &'static str {
        self.entry().0
    }

    /// How bad it is.
    pub(crate) const fn severity(self) -> Severity {
        self.entry().1
    }

    /// What a player will do.
    pub(crate) const fn effect(self) -> &'static str {
        self.entry().3
    }
}

/// Writes the catalogue as a table, which the documents have as it is.
pub(crate) fn list(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "| id | severity | what it is | what a player does |\n|---|---|---|---|")?;
    for (group, sorts) in Sort::ALL {
        writeln!(out, "| **{group}** | | | |")?;
        for s in *sorts {
            let (id, severity, about, effect) = s.entry();
            writeln!(out, "| `{id}` | {} | {about} | {effect} |", severity.name())?;
        }
    }
    Ok(())
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) sort: Sort,
    /// Byte in the source, where it is known.
    pub(crate) offset: Option<u64>,
    pub(crate) track: Option<TrackId>,
    pub(crate) time: Option<Timestamp>,
    /// What there is to see.
    pub(crate) what: String,
}

impl Problem {
    /// One of a sort, with what there is to see.
    pub(crate) fn new(sort: Sort, what: &str) -> Self {
        Self { sort, offset: None, track: None, time: None, what: what.to_owned() }
    }

    /// What a demuxer says; `None` for what is found in another way too.
    pub(crate) fn of(e: &FormatError) -> Option<Self> {
        let sort = entry::sort(e)?;
        let what = match e.kind {
            ErrorKind::Truncated => "the source ends inside a structure".to_owned(),
            ErrorKind::NeedsSeek => "the rest lies elsewhere, and this source can't seek".to_owned(),
            ErrorKind::Malformed(what) | ErrorKind::UnitSize(what) => what.to_owned(),
            kind => kind.to_string(),
        };
        let what = if e.path.is_empty() { what } else { format!("{}: {what}", e.path) };
        Some(Self { offset: Some(e.offset), ..Self::new(sort, &what) })
    }

    /// The same about something with a name.
    pub(crate) fn about(mut self, name: &str) -> Self {
        self.what.push(' ');
        self.what.push_str(name);
        self
    }

    /// What there is to see, and what a player will do: a sentence without its full stop.
    pub(crate) fn message(&self) -> String {
        format!("{}: {}", self.what, self.sort.effect())
    }

    /// The same at a byte of the source.
    pub(crate) fn at(mut self, offset: Option<u64>) -> Self {
        self.offset = offset;
        self
    }

    /// The same in a track and at a time.
    pub(crate) fn on(mut self, track: TrackId, time: Option<Timestamp>) -> Self {
        (self.track, self.time) = (Some(track), time);
        self
    }
}

/// All problems of a source, in bounded memory.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    kept: Vec<Problem>,
    counts: BTreeMap<Sort, u64>,
}

impl Problems {
    /// Counts one, and keeps it if there are not too many of its sort.
    pub(crate) fn add(&mut self, p: Problem) {
        let n = self.counts.entry(p.sort).or_default();
        *n += 1;
        if *n <= MAX_KEPT as u64 {
            self.kept.push(p);
        }
    }

    /// Those that were kept, in order.
    pub(crate) fn kept(&self) -> &[Problem] {
        &self.kept
    }

    /// How many there were of each sort.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Sort, u64)> {
        self.counts.iter().map(|(s, n)| (*s, *n))
    }

    /// How many there were that are more than worth knowing.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().filter(|(s, _)| s.severity() > Severity::Info).map(|c| c.1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_sort_is_counted_and_hides_no_other() {
        let mut all = Problems::default();
        for _ in 0..1_000_000 {
            all.add(Problem::new(Sort::Malformed, "x"));
        }
        all.add(Problem::new(Sort::Gap, "y"));
        all.add(Problem::new(Sort::EditList, "z"));
        assert_eq!(all.kept().len(), MAX_KEPT + 2);
        assert_eq!(all.total(), 1_000_001, "what is worth knowing is no fault");
        let counts = [(Sort::Malformed, 1_000_000), (Sort::Gap, 1), (Sort::EditList, 1)];
        assert_eq!(all.counts().collect::<Vec<_>>(), counts);
    }

    #[test]
    fn ids_are_unique_and_the_documents_have_the_catalogue() {
        let mut ids: Vec<_> = Sort::ALL.iter().flat_map(|g| g.1).map(|s| s.id()).collect();
        let n = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), n);
        let mut table = Vec::new();
        list(&mut table).unwrap();
        let docs = include_str!("../../docs/ANALYSER.md");
        let table = String::from_utf8(table).unwrap();
        assert!(docs.contains(&table), "docs/ANALYSER.md has another catalogue than:\n{table}");
    }
}
