//! Fragments for Smooth Streaming: Microsoft's *Protected Interoperable File Format* 1.1 §5.2, [MS-SSTR] §2.2.4.

use super::fragment::{Flavour, Run, Written, prepare, write};
use super::time::Timeline;
use bytes::Bytes;
use mist_core::format::{ErrorKind, FormatError};
use mist_core::gather::Gather;
use mist_core::time::{Duration, Timestamp};

/// Units a second of all times in Smooth Streaming.
pub const TIMESCALE: u32 = 10_000_000;

/// Box of the fragment's own time.
const TFXD: [u8; 16] =
    [0x6d, 0x1d, 0x9b, 0x05, 0x42, 0xd5, 0x44, 0xe6, 0x80, 0xe2, 0x14, 0x1d, 0xaf, 0xf7, 0x57, 0xb2];
/// Box of the times of those that follow.
const TFRF: [u8; 16] =
    [0xd4, 0x80, 0x7e, 0xf2, 0xca, 0x39, 0x46, 0x95, 0x8e, 0x54, 0x26, 0xcb, 0x9e, 0x46, 0xa7, 0x9f];

/// A fragment of one track, with its absolute time and length in a box of its own (`tfxd`) and, for live streams, those
/// of the ones that follow it (`tfrf`): from them a player learns what to ask for next. There is no init segment: the
/// manifest describes the track. `origin` is the time that the manifest counts as zero.
///
/// # Errors
/// No packets, more than 2 GiB, or more than 255 following ones.
pub fn fragment(
    sequence: u32,
    origin: Timestamp,
    run: &Run<'_>,
    following: &[(Timestamp, Duration)],
    out: &mut Gather,
) -> Result<Written, FormatError> {
    let fail = |kind| super::error(0, "moof/traf", kind);
    if run.packets.is_empty() {
        return Err(fail(ErrorKind::Unsupported("fragment without samples")));
    }
    let count = u8::try_from(following.len()).map_err(|_| fail(ErrorKind::Limit("following fragments")))?;
    let timeline = Timeline { origin, lead: Duration::ZERO };
    let mut pieces: Vec<Bytes> = Vec::with_capacity(run.packets.len());
    let prepared = prepare(run, timeline, TIMESCALE, &mut pieces);
    let extra = |w: &mut super::boxes::Boxes, r: &super::fragment::Prepared| {
        w.boxed(b"uuid", |w| _ = w.bytes(&TFXD).u32(1 << 24).u64(r.start).u64(r.duration()));
        if count > 0 {
            w.boxed(b"uuid", |w| {
                w.bytes(&TFRF).u32(1 << 24).u8(count);
                for (at, len) in following {
                    let at = timeline.media(*at, TIMESCALE).max(0);
                    w.u64(at.unsigned_abs()).u64(len.to_rate(TIMESCALE).max(0).unsigned_abs());
                }
            });
        }
    };
    write(sequence, &[prepared], Flavour::Ismv, extra, pieces, out)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{boxes, find, packet, u32_at, u64_at, video};
    use super::*;

    #[test]
    fn tells_its_time_and_those_that_follow() {
        let info = video(1);
        let packets: Vec<_> =
            (0..5).map(|i| packet(1, 60_000 + i * 40, i == 0, vec![i as u8; 300])).collect();
        let run = Run { info: &info, id: 1, packets: &packets, next: None, parameters: &Bytes::new() };
        let next = (Timestamp::from_millis(60_200), Duration::from_millis(2000));
        let mut out = Gather::new();
        let written = fragment(7, Timestamp::from_secs(10), &run, &[next, next], &mut out).unwrap();
        let data = out.to_vec();
        assert_eq!(written.len, data.len() as u64);
        let list = boxes(&data);
        assert_eq!(list.iter().map(|b| b.0.as_str()).collect::<Vec<_>>(), ["moof", "mdat"]);
        assert_eq!(list[1].1 as u64, written.moof);
        assert_eq!(list[1].2.len(), 1500);
        let traf = find(list[0].2, "traf")[0];
        assert_eq!(
            boxes(traf).iter().map(|b| b.0.as_str()).collect::<Vec<_>>(),
            ["tfhd", "trun", "uuid", "uuid"]
        );
        let uuid = find(traf, "uuid");
        assert_eq!((&uuid[0][..16], u32_at(uuid[0], 16)), (&TFXD[..], 1 << 24));
        assert_eq!((u64_at(uuid[0], 20), u64_at(uuid[0], 28)), (500_000_000, 2_000_000));
        assert_eq!((&uuid[1][..16], uuid[1][20]), (&TFRF[..], 2));
        assert_eq!((u64_at(uuid[1], 21), u64_at(uuid[1], 29)), (502_000_000, 20_000_000));
        let nothing = Run { packets: &[], ..run };
        assert!(fragment(1, Timestamp::ZERO, &nothing, &[], &mut out).is_err());
        assert!(fragment(1, Timestamp::ZERO, &run, &vec![next; 256], &mut out).is_err());
    }
}
