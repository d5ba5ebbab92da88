//! Bodies of the fuzz targets: ordinary functions, so that they are compiled, checked and run with the tests.
//!
//! Each takes arbitrary bytes and fails by panicking.

mod material;
mod plan;
mod round_trip;
mod rules;

pub use round_trip::mux_round_trip;

use crate::FORMATS;
use crate::amf::{Value, amf0, amf3};
use bytes::Bytes;
use mist_core::format::{Demuxed, Demuxer, ErrorKind, FormatError, Want};
use mist_core::media::{Media, Packet, TrackId, TrackInfo};
use mist_core::registry::FormatDef;
use mist_core::time::Timestamp;
use std::sync::Arc;

/// More polls than this for each byte of input are no progress.
const POLLS_A_BYTE: usize = 16;

/// DEFLATE, which Matroska may pack frames with, makes no more than this out of a byte.
const EXPANSION: usize = 1032;

#[derive(Debug, Default, PartialEq)]
struct Seen {
    tracks: Vec<Arc<TrackInfo>>,
    packets: Vec<Packet>,
    problems: Vec<FormatError>,
    error: Option<FormatError>,
}

/// Gives a demuxer all it asks for. What it finds goes to `each`; what ended it comes back.
fn feed(
    d: &mut dyn Demuxer,
    data: &Bytes,
    step: usize,
    mut each: impl FnMut(Demuxed),
) -> Option<FormatError> {
    let (mut at, mut pushed) = (0usize, 0usize);
    let mut polls = 0;
    loop {
        polls += 1;
        assert!(polls < 1000 + (data.len() + pushed) * POLLS_A_BYTE, "no progress");
        match d.poll() {
            Ok(Demuxed::Need(want)) => {
                if let Want::At { offset, .. } = want {
                    at = usize::try_from(offset).unwrap_or(usize::MAX).min(data.len());
                }
                let n = step.min(data.len() - at);
                if n == 0 {
                    d.end();
                } else {
                    d.push(at as u64, data.slice(at..at + n));
                    at += n;
                    pushed += n;
                }
            }
            Ok(Demuxed::End) => return None,
            Ok(found) => each(found),
            Err(e) => return Some(e),
        }
    }
}

fn drive(d: &mut dyn Demuxer, data: &Bytes, step: usize) -> Seen {
    let mut seen = Seen::default();
    let mut times: Vec<(TrackId, Timestamp)> = Vec::new();
    let mut warned = false;
    let error = feed(d, data, step, |found| match found {
        Demuxed::Media(Media::Track(t)) => seen.tracks.push(t),
        Demuxed::Media(Media::Gone(t)) => times.retain(|k| k.0 != t),
        Demuxed::Media(Media::Packet(p)) => {
            assert!(seen.tracks.iter().any(|t| t.id == p.track), "packet before its track");
            assert!(p.data.len() <= data.len() * EXPANSION + 64, "payload out of nothing");
            match times.iter_mut().find(|k| k.0 == p.track) {
                Some(k) => {
                    assert!(p.dts >= k.1 || warned, "time goes back and nothing says so");
                    k.1 = p.dts;
                }
                None => times.push((p.track, p.dts)),
            }
            warned = false;
            seen.packets.push(p);
        }
        Demuxed::Problem(e) => {
            warned |= e.kind == ErrorKind::TimeBack;
            seen.problems.push(e);
        }
        _ => {}
    });
    seen.error = error;
    seen
}

/// Demuxes arbitrary bytes, of which the first picks the format, and keeps nothing: what a demuxer holds then is its own.
pub fn demux_and_forget(data: &[u8]) {
    let [format, _, rest @ ..] = data else { return };
    let Some(make) = pick(*format).and_then(|f| f.demuxer) else { return };
    feed(&mut *make(), &Bytes::copy_from_slice(rest), 4096, drop);
}

fn pick(n: u8) -> Option<&'static FormatDef> {
    FORMATS.get(usize::from(n) % FORMATS.len().max(1)).copied()
}

/// Demuxes arbitrary bytes: the first picks the format, the second how the rest is split. Every split has to give
/// the same, also with structure and after a seek.
pub fn demux(data: &[u8]) {
    let [format, step, rest @ ..] = data else { return };
    let Some(make) = pick(*format).and_then(|f| f.demuxer) else { return };
    let rest = Bytes::copy_from_slice(rest);
    let whole = drive(&mut *make(), &rest, rest.len().max(1));
    let split = drive(&mut *make(), &rest, usize::from(*step).max(1));
    assert_eq!(whole, split, "split in steps of {step}");
    let mut d = make();
    d.want_nodes();
    assert_eq!(whole, drive(&mut *d, &rest, 4096));
    if d.seek(Timestamp::from_millis(i64::from(*step) * 100)).is_ok() {
        // Where it lands is the file's affair; it has to end.
        let mut polls = 0;
        loop {
            polls += 1;
            assert!(polls < 1000 + rest.len() * POLLS_A_BYTE, "no progress after a seek");
            match d.poll() {
                Ok(Demuxed::Need(Want::At { offset, .. })) if offset < rest.len() as u64 => {
                    d.push(offset, rest.slice(usize::try_from(offset).unwrap_or(0)..));
                }
                Ok(Demuxed::Need(_)) => d.end(),
                Ok(Demuxed::End) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
}

/// Reads arbitrary bytes as AMF0 and AMF3. What can be read has to survive writing and reading again.
pub fn amf(data: &[u8]) {
    // Not-a-number isn't equal to itself: JSON shows both as null.
    let json = |v: &[Value]| v.iter().map(Value::to_json).collect::<Vec<_>>();
    if let Ok(values) = amf0::read_all(data) {
        // Long names are cut, and what references unfold can exceed the limits on the way back.
        if let Ok(again) = amf0::read_all(&amf0::write_all(&values)) {
            assert_eq!(json(&values).len(), json(&again).len());
        }
    }
    if let Ok(values) = amf3::read_all(data) {
        let mut out = Vec::new();
        for v in &values {
            amf3::write(v, &mut out);
        }
        if let Ok(again) = amf3::read_all(&out) {
            assert_eq!(values.len(), again.len());
        }
    }
}

/// Reads arbitrary bytes as a header file. What can be read has to survive writing and reading again.
pub fn dtsh(data: &[u8]) {
    use crate::dtsc::dtsh;
    let data = Bytes::copy_from_slice(data);
    let Ok(header) = dtsh::parse(&data) else { return };
    let source = dtsh::Source { size: u64::MAX, modified: 0 };
    dtsh::check(&header, source, 0);
    header.key_before(Timestamp::ZERO);
    let lines: usize = header.tracks.iter().map(|t| t.packets.len()).sum();
    assert!(lines * 9 <= data.len(), "packets out of nothing");
    if let (Some(index), Ok(again)) = (header.index(), dtsh::parse(&dtsh::write(&header))) {
        // Times that don't fit the tables leave them out; what is there is the same.
        if let Some(back) = again.index() {
            let counts =
                |i: &mist_core::format::Index| i.tracks.iter().map(|t| t.1.len()).collect::<Vec<_>>();
            assert_eq!(counts(&index), counts(&back));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A short file with the keyframes table that seeking needs, and what damages it.
    fn sample() -> Vec<u8> {
        let mut d = vec![0, 7];
        let meta = "onMetaData";
        let table = crate::amf::Object::new()
            .with("times", vec![Value::Number(0.0), Value::Number(1.0)])
            .with("filepositions", vec![Value::Number(13.0), Value::Number(150.0)]);
        let o = crate::amf::Object::new().with("keyframes", table);
        let script = amf0::write_all(&[meta.into(), Value::EcmaArray(o)]);
        d.extend_from_slice(b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
        let mut tag = |kind: u8, ms: u8, body: &[u8]| {
            d.extend_from_slice(&[kind, 0, 0, body.len() as u8, 0, 0, ms, 0, 0, 0, 0]);
            d.extend_from_slice(body);
            d.extend_from_slice(&(body.len() as u32 + 11).to_be_bytes());
        };
        tag(18, 0, &script);
        tag(8, 0, &[0xaf, 0, 0x12, 0x10]);
        for i in 0..8 {
            tag(9, i * 10, &[0x12, 0, 0, 0x84, 0, 1, 1, 1, 1, i]);
            tag(8, i * 10, &[0xaf, 1, i, i, i]);
            tag(8, i * 10, &[0x95, 0x11, b'O', b'p', b'u', b's', i, 0, 0, 2, 1, 1]);
        }
        d
    }

    proptest! {
        #[test]
        fn arbitrary_bytes(data in prop::collection::vec(any::<u8>(), 0..400)) {
            demux(&data);
            amf(&data);
        }

        #[test]
        fn damaged_files(hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
                         cut in any::<prop::sample::Index>(), step in 1u8..40) {
            let mut d = sample();
            for (i, v) in hits {
                let n = d.len();
                d[2 + i.index(n - 2)] = v;
            }
            d[1] = step;
            demux(&d);
            let gap = 2 + cut.index(d.len() - 2);
            d.drain(gap..(gap + 5).min(d.len()));
            demux(&d);
        }

        #[test]
        fn damaged_amf(hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
            let mut d = amf0::write_all(&[
                "a".into(),
                Value::StrictArray(vec![Value::Null, crate::amf::Object::new().with("k", 1.0).into()]),
                Value::Bytes(Bytes::from_static(b"abc")),
            ]);
            for (i, v) in hits {
                let n = d.len();
                d[i.index(n)] = v;
            }
            amf(&d);
            let n = d.len();
            amf(&d[n / 2..]);
        }
    }
}
