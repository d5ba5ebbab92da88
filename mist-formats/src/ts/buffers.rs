//! Sizes of the system target decoder's main buffers (ISO/IEC 13818-1 §2.4.2, §2.14 and §2.17).

use super::stream::Coding;
use memchr::memmem;
use mist_core::codec::{hevc, nal};

/// Main buffers of sound (§2.4.2.3, and for AC-3 ETSI TS 101 154). Not checked where 0.
pub(super) const fn audio_buffer(coding: Coding) -> u64 {
    match coding {
        Coding::Mpa => 3584,
        // for up to eight channels; two have 3584, but how many there are is not known here
        Coding::Adts | Coding::Latm => 8976,
        Coding::Ac3 => 5696,
        _ => 0,
    }
}

/// `MaxCPB` by `level_idc` in 1000 bits (H.264 table A-1).
const AVC_CPB: &[(u8, u64)] = &[
    (9, 350),
    (10, 175),
    (11, 500),
    (12, 1000),
    (20, 2000),
    (22, 4000),
    (30, 10_000),
    (31, 14_000),
    (32, 20_000),
    (40, 25_000),
    (42, 62_500),
    (50, 135_000),
    (60, 240_000),
    (61, 480_000),
    (62, 800_000),
];
/// `MaxCPB` by `general_level_idc` in 1000 bits, Main and High tier (H.265 table A.8).
const HEVC_CPB: &[(u8, u64, u64)] = &[
    (30, 350, 350),
    (60, 1500, 1500),
    (63, 3000, 3000),
    (90, 6000, 6000),
    (93, 10_000, 10_000),
    (120, 12_000, 30_000),
    (123, 20_000, 50_000),
    (150, 25_000, 100_000),
    (153, 40_000, 160_000),
    (180, 60_000, 240_000),
    (183, 120_000, 480_000),
    (186, 240_000, 800_000),
];

/// Elementary and multiplex buffer of pictures (§2.14.3.1, §2.17.2; H.262: §2.4.2.3) by what their first headers declare.
pub(super) fn video_buffer(coding: Coding, payload: &[u8]) -> Option<u64> {
    // The multiplex buffer and overheads: 4 ms and 1/750 s of the largest rate, which is at least 2 Mbit/s.
    let with_overhead = |cpb: u64| cpb + (cpb / 180).max(1_350);
    match coding {
        Coding::H264 => {
            let at = memmem::find(payload, &[0, 0, 1, 0x67])?;
            let &[profile, flags, level] = payload.get(at + 4..)?.first_chunk()?;
            let level = if level == 11 && flags & 0x10 != 0 && profile <= 88 { 9 } else { level };
            let cpb = AVC_CPB.iter().find(|l| level <= l.0).map_or(800_000, |l| l.1);
            let factor = if profile >= 100 { 1500 } else { 1200 };
            Some(with_overhead(cpb * factor / 8))
        }
        Coding::Hevc => {
            let at = memmem::find(payload, &[0, 0, 1, 0x42, 1])?;
            let sps = payload.get(at + 3..)?;
            let head = nal::unescape(sps.get(..sps.len().min(48))?);
            debug_assert_eq!(hevc::nal::kind(&head), hevc::nal::SPS, "0x42 is an SPS");
            let (tier, level) = (head.get(3)? & 0x20 != 0, *head.get(14)?);
            let cpb =
                HEVC_CPB.iter().find(|l| level <= l.0).map_or(800_000, |l| if tier { l.2 } else { l.1 });
            Some(with_overhead(cpb * 1100 / 8))
        }
        Coding::Mpeg2 => {
            let at = memmem::find(payload, &[0, 0, 1, 0xB3])?;
            let &[a, b, _] = payload.get(at + 4..)?.first_chunk()?;
            let width = u16::from(a) << 4 | u16::from(b) >> 4;
            // Main profile at main or high level
            Some(with_overhead(if width <= 720 { 1_835_008 } else { 9_781_248 } / 8))
        }
        _ => None,
    }
}
