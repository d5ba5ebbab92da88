//! The structure inside tracks and packets: parameter sets with their fields, NAL units, OBUs, frame heads.

use mist_core::codec::{Codec, aac, ac3, av1, flac, h264, hevc, mpa, nal, opus, sei, vorbis, vpx};
use mist_core::format::Node;
use mist_core::media::{Packet, TrackInfo};
use std::fmt::Write as _;

/// Units of a packet that are listed.
const MAX_UNITS: usize = 512;
/// Depth of what is in a description or a packet.
const DEPTH: u16 = 2;

fn node(depth: u16, offset: u64, len: usize, name: &'static str, detail: String) -> Node {
    Node { depth, offset, len: len as u64, name, detail, values: Vec::new() }
}

/// What a track's description holds. It has no place of its own: offsets count from its start.
pub(crate) fn of_track(t: &TrackInfo) -> Vec<Node> {
    let mut out = vec![node(1, 0, t.init.len(), "decoder configuration", format!("track {} {:?}", t.id, t))];
    let set = |n: &bytes::Bytes| {
        let at = (n.as_ptr() as usize).wrapping_sub(t.init.as_ptr() as usize);
        if at <= t.init.len() { at as u64 } else { 0 }
    };
    match t.codec {
        Codec::H264 => {
            for n in h264::Avcc::parse(&t.init).iter().flat_map(h264::Avcc::nals) {
                out.push(node(DEPTH, set(n), n.len(), "NAL unit", h264_unit(n)));
            }
        }
        Codec::Hevc => {
            if let Ok(c) = hevc::Hvcc::parse(&t.init) {
                for n in [hevc::nal::VPS, hevc::nal::SPS, hevc::nal::PPS].into_iter().flat_map(|k| c.of(k)) {
                    out.push(node(DEPTH, set(n), n.len(), "NAL unit", hevc_unit(n)));
                }
            }
        }
        Codec::Av1 => {
            if let Ok(c) = av1::Av1c::parse(&t.init) {
                out.push(node(DEPTH, 0, t.init.len(), "sequence header", format!("{:?}", c.sequence)));
            }
        }
        _ => {
            if let Some(text) = configuration(t) {
                out.push(node(DEPTH, 0, t.init.len(), "fields", text));
            }
        }
    }
    out
}

/// The fields of other codecs' configuration.
fn configuration(t: &TrackInfo) -> Option<String> {
    Some(match t.codec {
        Codec::Aac => format!("{:?}", aac::Asc::parse(&t.init).ok()?),
        Codec::Opus => format!("{:?}", opus::OpusHead::parse(&t.init).ok()?),
        Codec::Flac => format!("{:?}", flac::StreamInfo::from_init(&t.init).ok()?),
        Codec::Vp9 => format!("{:?}", vpx::Vpcc::parse(&t.init).ok()?),
        Codec::Vorbis => {
            let [head, ..] = vorbis::split_headers(&t.init).ok()?;
            format!("{:?}", vorbis::Identification::parse(head).ok()?)
        }
        _ => return None,
    })
}

/// What a packet holds. `offset` is where its payload lies; offsets of units are exact where it lies in one piece.
pub(crate) fn of_packet(t: &TrackInfo, p: &Packet, offset: Option<u64>) -> Vec<Node> {
    let base = offset.unwrap_or(0);
    let mut detail = format!("track {} pts {:.3} ms", p.track, p.pts().ticks() as f64 / 705_600.0);
    detail.push_str(if p.key { " key" } else { "" });
    let mut out = vec![node(1, base, p.data.len(), "packet", detail)];
    let place = |u: &[u8]| base + (u.as_ptr() as usize).wrapping_sub(p.data.as_ptr() as usize) as u64;
    match t.codec {
        Codec::H264 | Codec::Hevc => {
            for n in nal::units(&p.data).take(MAX_UNITS) {
                let text = if t.codec == Codec::H264 { h264_unit(n) } else { hevc_unit(n) };
                out.push(node(DEPTH, place(n), n.len(), "NAL unit", text));
            }
        }
        Codec::Av1 => {
            for o in av1::obus(&p.data).take(MAX_UNITS) {
                out.push(node(DEPTH, place(o.data), o.data.len(), "OBU", obu_name(o.kind).to_owned()));
            }
        }
        Codec::Mp3 | Codec::Mp2 => {
            for h in mpa::frames(&p.data).take(MAX_UNITS) {
                out.push(node(DEPTH, base, p.data.len(), "frame", format!("{h:?}")));
            }
        }
        Codec::Ac3 | Codec::Eac3 => {
            for h in ac3::frames(&p.data).take(MAX_UNITS) {
                out.push(node(DEPTH, base, p.data.len(), "frame", format!("{h:?}")));
            }
        }
        _ => {}
    }
    out
}

fn obu_name(kind: u8) -> &'static str {
    match kind {
        av1::kind::SEQUENCE => "sequence header",
        av1::kind::DELIMITER => "temporal delimiter",
        av1::kind::FRAME_HEADER => "frame header",
        4 => "tile group",
        av1::kind::METADATA => "metadata",
        av1::kind::FRAME => "frame",
        7 => "redundant frame header",
        av1::kind::TILE_LIST => "tile list",
        av1::kind::PADDING => "padding",
        _ => "reserved",
    }
}

/// Name and fields of an H.264 NAL unit (H.264 table 7-1).
fn h264_unit(n: &[u8]) -> String {
    let kind = h264::nal::kind(n);
    let name = match kind {
        h264::nal::SLICE => "slice",
        2..=4 => "slice partition",
        h264::nal::IDR => "IDR slice",
        h264::nal::SEI => "SEI",
        h264::nal::SPS => "SPS",
        h264::nal::PPS => "PPS",
        h264::nal::AUD => "access unit delimiter",
        h264::nal::END_OF_SEQUENCE => "end of sequence",
        h264::nal::END_OF_STREAM => "end of stream",
        h264::nal::FILLER => "filler",
        h264::nal::SPS_EXT => "SPS extension",
        14 => "prefix",
        15 => "subset SPS",
        19 => "auxiliary slice",
        20 => "slice extension",
        _ => "reserved",
    };
    let importance = n.first().map_or(0, |b| b >> 5 & 3);
    let mut s = format!("{name} ({kind}), nal_ref_idc {importance}");
    match kind {
        h264::nal::SPS => match h264::Sps::parse(n) {
            Ok(p) => {
                let _ = write!(s, ", {p:?}");
            }
            Err(e) => {
                let _ = write!(s, ", {e}");
            }
        },
        h264::nal::PPS => {
            if let Ok(p) = h264::Pps::parse(n) {
                let _ = write!(s, ", {p:?}");
            }
        }
        h264::nal::SEI => sei_messages(n.get(1..).unwrap_or_default(), &mut s),
        _ => {}
    }
    s
}

/// Name and fields of an HEVC NAL unit (H.265 table 7-1).
fn hevc_unit(n: &[u8]) -> String {
    let kind = hevc::nal::kind(n);
    let name = match kind {
        0 | 1 => "trailing slice",
        2..=5 => "temporal sub-layer slice",
        6 | 7 => "RADL slice",
        8 | 9 => "RASL slice",
        16..=18 => "BLA slice",
        hevc::nal::IDR_W_RADL | hevc::nal::IDR_N_LP => "IDR slice",
        hevc::nal::CRA => "CRA slice",
        hevc::nal::VPS => "VPS",
        hevc::nal::SPS => "SPS",
        hevc::nal::PPS => "PPS",
        hevc::nal::AUD => "access unit delimiter",
        hevc::nal::END_OF_SEQUENCE => "end of sequence",
        hevc::nal::END_OF_STREAM => "end of stream",
        hevc::nal::FILLER => "filler",
        hevc::nal::PREFIX_SEI => "SEI before",
        hevc::nal::SUFFIX_SEI => "SEI after",
        _ => "reserved",
    };
    let mut s = format!("{name} ({kind}), layer {}", hevc::nal::layer(n));
    match kind {
        hevc::nal::SPS => match hevc::Sps::parse(n) {
            Ok(p) => {
                let _ = write!(s, ", {p:?}");
            }
            Err(e) => {
                let _ = write!(s, ", {e}");
            }
        },
        hevc::nal::VPS => {
            if let Ok(p) = hevc::Vps::parse(n) {
                let _ = write!(s, ", {p:?}");
            }
        }
        hevc::nal::PREFIX_SEI | hevc::nal::SUFFIX_SEI => {
            sei_messages(n.get(2..).unwrap_or_default(), &mut s);
        }
        _ => {}
    }
    s
}

fn sei_messages(body: &[u8], out: &mut String) {
    let mut m = sei::messages(body);
    while let Some((kind, data)) = m.next_message() {
        let name = match kind {
            0 => "buffering period",
            1 => "picture timing",
            sei::USER_DATA_T35 => "registered user data",
            5 => "unregistered user data",
            sei::RECOVERY_POINT => "recovery point",
            137 => "mastering display colour volume",
            144 => "content light level",
            _ => "",
        };
        let _ = write!(out, ", message {kind} {name} {} bytes", data.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mist_core::media::{Params, TrackId};
    use mist_core::time::{Duration, Timestamp};

    const SPS: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xb4, 0x02, 0x80, 0x2d, 0xd0, 0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00,
        0x00, 0x18, 0x07, 0x8c, 0x19, 0x50,
    ];

    #[test]
    fn units_lie_where_they_are_and_sets_show_their_fields() {
        let c = h264::Avcc::from_nals([SPS, &[0x68, 0xee, 0x3c, 0xb0]]).unwrap();
        let params = Params::Video { width: 0, height: 0, fpks: 0 };
        let t = TrackInfo::new(TrackId(1), Codec::H264, c.build(), params);
        let nodes = of_track(&t);
        assert_eq!(nodes.len(), 3);
        let sps = &nodes[1];
        assert_eq!(&t.init[sps.offset as usize..][..sps.len as usize], SPS);
        assert!(sps.detail.starts_with("SPS (7), nal_ref_idc 3, Sps { profile: 100"), "{}", sps.detail);
        assert!(sps.detail.contains("width: 1280") && sps.detail.contains("height: 720"), "{}", sps.detail);
        let p = Packet {
            track: TrackId(1),
            dts: Timestamp::ZERO,
            cts: Duration::ZERO,
            duration: Duration::ZERO,
            key: true,
            data: Bytes::from_static(&[0, 0, 0, 3, 6, 6, 0, 0, 0, 0, 2, 0x65, 0x88]),
        };
        let nodes = of_packet(&t, &p, Some(100));
        let got: Vec<_> = nodes.iter().map(|n| (n.depth, n.offset, n.len, n.name)).collect();
        assert_eq!(got, [(1, 100, 13, "packet"), (2, 104, 3, "NAL unit"), (2, 111, 2, "NAL unit")]);
        assert!(nodes[1].detail.contains("message 6 recovery point"), "{}", nodes[1].detail);
    }
}
