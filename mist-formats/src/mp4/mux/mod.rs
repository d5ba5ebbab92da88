//! Packets to MP4: one file a kind of output, one a level of boxes.
//!
//! - [`Muxer`] has the two forms of the contract. With an index it writes a file whose `moov` comes first and
//!   describes every packet; [`layout`] says where they lie, so that any part of it can be made alone. Without an index it
//!   writes a `moov` without samples and then fragments, for viewers of live streams and for recordings: what was written
//!   before a crash can be played. A fragment is cut at every keyframe of video and within [`limits::FRAGMENT`], which
//!   is all that this form adds to the delay.
//! - [`init_segment`] and [`fragment`] are for segmenters (CMAF for HLS and DASH), [`ismv`] is for Smooth Streaming.
//!
//! # Times
//! Every track counts in its own units ([`timescale`]); times are rounded to them one by one, so that no error adds up.
//! The stream's zero stays zero if the media begins at most ten seconds before it (so priming of audio and pictures
//! that are only decoded stay unseen); otherwise the first picture or sound is shown at zero. What is decoded before is
//! taken off by an edit list, in fragments too. Tracks that begin later than others do so here.
//!
//! # Changes of the description
//! A `moov` can't be added to. Behind it, H.264 and HEVC tracks go on with their new parameter sets in front of the
//! keyframes, and codecs whose keyframes or frames carry all that matters just go on; other changes and new tracks are
//! `Unsupported`. The `moov` of the live form is written with the first fragment: until then everything may change.
//!
//! Left out: encryption, several sample entries in a track, hint and metadata tracks, `sbgp`.

mod boxes;
mod file;
mod fragment;
mod live;
mod movie;
mod sample;
mod sample_entry;
mod time;

#[cfg(test)]
mod testing;

pub mod ismv;

pub use file::layout;
pub use fragment::{Described, Run, Written, fragment, init_segment, sidx, styp};
pub use time::{Timeline, timescale};

use mist_core::format::{ErrorKind, FormatError, Index, Patch};
use mist_core::gather::Gather;
use mist_core::layout::Layout;
use mist_core::media::{Packet, TrackInfo};
use std::sync::Arc;

/// What a muxer holds at most, and writes at most in one piece.
pub mod limits {
    use mist_core::time::Duration;

    /// Tracks in a file.
    pub const TRACKS: usize = 64;
    /// Packets in an index.
    pub const PACKETS: usize = 1 << 26;
    /// Media time of a fragment of the live form with pictures.
    pub const FRAGMENT: Duration = Duration::from_millis(240);
    /// The same without.
    pub const FRAGMENT_WITHOUT_VIDEO: Duration = Duration::from_millis(500);
    /// Packets of such a fragment.
    pub const FRAGMENT_PACKETS: usize = 1024;
    /// Bytes of media that wait for a fragment to be complete.
    pub const HELD: usize = 8 << 20;
    /// Bytes of a fragment: offsets in it are signed and have 32 bits.
    pub const FRAGMENT_BYTES: u64 = 1 << 31;
    /// Times between packets from here on are a pause: the packet before it doesn't last through it.
    pub const PAUSE: Duration = Duration::from_secs(10);
    /// Entries in the table of keyframes behind the fragments; with more of them there is one for every other.
    pub const RANDOM_ACCESS: usize = 2048;
}

#[derive(Debug, Default)]
enum State {
    #[default]
    New,
    Live(Box<live::Live>),
    File(Box<file::File>),
}

/// Writes MP4. See the [module](self) for its two forms.
#[derive(Debug, Default)]
pub struct Muxer {
    state: State,
}

impl Muxer {
    /// A muxer at its start.
    pub fn new() -> Self {
        Self::default()
    }
}

impl mist_core::format::Muxer for Muxer {
    fn start(
        &mut self,
        tracks: &[Arc<TrackInfo>],
        index: Option<&Index>,
        out: &mut Gather,
    ) -> Result<(), FormatError> {
        self.state = match index {
            Some(index) => State::File(Box::new(file::File::start(tracks, index, out)?)),
            None => State::Live(Box::new(live::Live::start(tracks)?)),
        };
        Ok(())
    }

    fn track(&mut self, info: &Arc<TrackInfo>, out: &mut Gather) -> Result<(), FormatError> {
        match &mut self.state {
            State::New => Err(not_begun()),
            State::Live(l) => l.track(info, out),
            State::File(f) => f.track(info),
        }
    }

    fn packet(&mut self, p: &Packet, out: &mut Gather) -> Result<(), FormatError> {
        match &mut self.state {
            State::New => Err(not_begun()),
            State::Live(l) => l.packet(p, out),
            State::File(f) => f.packet(p, out),
        }
    }

    fn finish(&mut self, out: &mut Gather) -> Result<Vec<Patch>, FormatError> {
        match &mut self.state {
            State::New => Err(not_begun()),
            State::Live(l) => l.finish(out),
            State::File(f) => f.finish(),
        }
    }

    fn layout(&self, tracks: &[Arc<TrackInfo>], index: &Index) -> Result<Option<Layout>, FormatError> {
        layout(tracks, index).map(Some)
    }
}

fn not_begun() -> FormatError {
    error(0, "", ErrorKind::Unsupported("packet before the start"))
}

fn error(offset: u64, path: &'static str, kind: ErrorKind) -> FormatError {
    FormatError { format: super::ID, offset, path, kind }
}
