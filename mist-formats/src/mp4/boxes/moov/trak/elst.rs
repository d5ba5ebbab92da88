//! `elst`: the edit list (ISO/IEC 14496-12 §8.6.6), as far as it moves a track as a whole.
//!
//! Empty edits in front delay the track. The first edit with media says which time of the media is shown first: all
//! times are moved so that it comes at 0. Samples before it keep coming, with times below 0, since the decoder needs
//! them: pictures before the first that is shown, priming of audio. Where an edit ends is not looked at, nor is its
//! rate, and what further edits with media would repeat or leave out comes once and in its place.

use crate::mp4::boxes::{Log, Part, Reader};
use mist_core::format::ErrorKind;
use mist_core::time::Duration;

/// What is added to all times of the track, in units of `timescale`.
pub(in crate::mp4) fn shift(part: &Part, movie_scale: u32, timescale: u32, log: &mut Log) -> i64 {
    const PATH: &str = "moov/trak/elst";
    let mut r = Reader(&part.body);
    let (Some((version, _)), Some(count)) = (r.full(), r.u32()) else {
        log.add(part.error(PATH, ErrorKind::Truncated));
        return 0;
    };
    let mut delay = 0i64;
    let mut start = None;
    for n in 0..count {
        let (Some(duration), Some(time), Some(_rate)) = (r.sized(version), r.sized(version), r.u32()) else {
            log.add(part.error(PATH, ErrorKind::Size("more entries declared than there are")));
            break;
        };
        let time = if version == 1 { time as i64 } else { i64::from(time as u32 as i32) };
        match start {
            None if time == -1 => delay = delay.saturating_add_unsigned(duration),
            None => start = Some(time.max(0)),
            Some(_) if time >= 0 && n < count => {
                log.add(
                    part.error(PATH, ErrorKind::Unsupported("several edits; the media is played through")),
                );
                break;
            }
            Some(_) => {}
        }
    }
    let delay = if movie_scale == 0 { 0 } else { Duration::from_rate(delay, movie_scale).to_rate(timescale) };
    delay.saturating_sub(start.unwrap_or(0))
}
