//! What is muxed has to come back: packets made from arbitrary bytes through each muxer and its demuxer.

#![allow(clippy::indexing_slicing, reason = "a fault is to show itself by panicking")]

use super::plan::{Form, Plan, Step, reorders};
use super::rules::{Given, Rules, Times, bare, is_samples, is_shown, shown};
use bytes::Bytes;
use mist_core::codec::Codec;
use mist_core::format::{Demuxed, Demuxer, ErrorKind, FormatError, Muxer, Want};
use mist_core::gather::Gather;
use mist_core::media::{Kind, Media, Packet, TrackId, TrackInfo};
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;

/// What came back.
#[derive(Debug, Default)]
struct Back {
    tracks: Vec<Arc<TrackInfo>>,
    packets: Vec<Packet>,
    problems: Vec<FormatError>,
}

/// What a muxer took.
struct Taken {
    file: Vec<u8>,
    packets: Vec<Packet>,
    /// Tracks whose description has changed.
    changed: Vec<TrackId>,
}

/// Muxes what arbitrary bytes say and demuxes the result: what the muxer took has to come back, but for what the format
/// is documented to change. With an index, the file has to be what the layout says.
pub fn mux_round_trip(data: &[u8]) {
    let Some(plan) = Plan::new(data) else { return };
    let (Some(mux), Some(demux)) = (plan.def.muxer, plan.def.demuxer) else { return };
    let Some(taken) = mux_all(&plan, mux) else { return };
    if plan.form == Form::Indexed {
        check_layout(&plan, mux, &taken.file);
    }
    if taken.packets.is_empty() {
        return;
    }
    let back = read(&mut *demux(), &taken.file.clone().into(), &plan);
    compare(&plan, &taken, &back);
}

/// A refusal has to say that the format can't carry it.
fn is_reason(e: &FormatError) -> bool {
    matches!(e.kind, ErrorKind::Unsupported(_) | ErrorKind::Limit(_))
}

/// `None` where the format can't carry the tracks.
fn mux_all(plan: &Plan, make: fn() -> Box<dyn Muxer>) -> Option<Taken> {
    let mut m = make();
    let mut out = Gather::new();
    if plan.form == Form::Pipe {
        m.unpatched();
    }
    let index = plan.index();
    if let Err(e) = m.start(&plan.tracks, index.as_ref(), &mut out) {
        assert!(is_reason(&e), "{}: {e} for {:?}", plan.def.id, plan.tracks);
        return None;
    }
    let mut taken = Taken { file: Vec::new(), packets: Vec::new(), changed: Vec::new() };
    let stranger = Packet {
        track: TrackId(99),
        dts: Timestamp::ZERO,
        cts: Duration::ZERO,
        duration: Duration::ZERO,
        key: true,
        data: Bytes::from_static(&[1]),
    };
    for (n, step) in plan.steps.iter().enumerate() {
        let before = out.len();
        let done = match step {
            Step::Track(t) => m.track(t, &mut out),
            Step::Packet(p) => m.packet(p, &mut out),
        };
        match (done, step) {
            (Ok(()), Step::Packet(p)) => taken.packets.push(p.clone()),
            (Ok(()), Step::Track(t)) => taken.changed.push(t.id),
            (Err(e), _) => {
                assert!(is_reason(&e), "{}: {e} for {step:?} of {:?}", plan.def.id, plan.tracks);
                assert_eq!(out.len(), before, "{}: output of what was refused: {e}", plan.def.id);
                // The index spoke of it: such a file can't be completed.
                if plan.form == Form::Indexed {
                    return None;
                }
            }
        }
        if n == 1 {
            assert!(m.packet(&stranger, &mut Gather::new()).is_err(), "packet of an unknown track");
        }
    }
    let done = m.finish(&mut out);
    let patches = done.unwrap_or_else(|e| panic!("{}: {e} at its end", plan.def.id));
    taken.file = out.to_vec();
    for p in patches {
        let at = usize::try_from(p.offset).unwrap_or(usize::MAX);
        let place = taken.file.get_mut(at..at + p.data.len());
        let place = place.unwrap_or_else(|| panic!("{}: patch beyond the file", plan.def.id));
        if plan.form == Form::Live || plan.form == Form::Indexed {
            place.copy_from_slice(&p.data);
        }
    }
    Some(taken)
}

/// The file is the one that was laid out, and each of its parts can be made alone.
fn check_layout(plan: &Plan, make: fn() -> Box<dyn Muxer>, file: &[u8]) {
    let Some(index) = plan.index() else { return };
    let id = plan.def.id;
    let layout = make().layout(&plan.tracks, &index);
    let Some(layout) = layout.unwrap_or_else(|e| panic!("{id}: {e} in the layout only")) else { return };
    assert_eq!(layout.len(), file.len() as u64, "{id}: length");
    assert!(file.starts_with(layout.head()) && file.ends_with(layout.tail()), "{id}: head and tail");
    let third = layout.len() / 3;
    for range in [0..layout.len(), third..2 * third, layout.len().saturating_sub(1)..layout.len()] {
        // From the middle, a muxer of its own.
        let mut m = make();
        let mut out = Gather::new();
        assert!(m.start(&plan.tracks, Some(&index), &mut out).is_ok());
        for span in layout.covering(&index, range) {
            let (track, _) = &index.tracks[span.track];
            let p = plan.packets().filter(|p| p.track == *track).nth(span.packet);
            let mut out = Gather::new();
            let done = m.packet(p.unwrap_or_else(|| panic!("{id}: a packet that is none")), &mut out);
            assert!(done.is_ok(), "{id}: {done:?} alone only");
            let at = span.offset as usize;
            assert!(file.get(at..at + span.len as usize) == Some(&out.to_vec()), "{id}: {span:?}");
        }
    }
}

fn read(d: &mut dyn Demuxer, file: &Bytes, plan: &Plan) -> Back {
    let mut back = Back::default();
    let mut at = 0usize;
    for _ in 0..20 * file.len() + 1000 {
        match d.poll() {
            Ok(Demuxed::Media(Media::Track(t))) => back.tracks.push(t),
            Ok(Demuxed::Media(Media::Packet(p))) => back.packets.push(p),
            Ok(Demuxed::Problem(e)) => back.problems.push(e),
            Ok(Demuxed::Need(want)) => {
                if let Want::At { offset, .. } = want {
                    at = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
                }
                let n = (file.len() - at).min(1 << 16);
                if n == 0 {
                    d.end();
                } else {
                    d.push(at as u64, file.slice(at..at + n));
                    at += n;
                }
            }
            Ok(Demuxed::End) => return back,
            Ok(_) => {}
            Err(e) => panic!("{}: its own file can't be read: {e} {:?}", plan.def.id, plan.tracks),
        }
    }
    panic!("{}: no progress", plan.def.id)
}

/// What was wanted and what came, for the eye.
fn times(wanted: &[Packet], got: &[&Packet]) -> Vec<(Timestamp, Timestamp)> {
    wanted.iter().zip(got).map(|(a, b)| (a.pts(), b.pts())).collect()
}

/// The tracks that came back with packets, by codec and number.
fn counterpart(back: &Back, codec: Codec, nth: usize) -> Option<Arc<TrackInfo>> {
    let mut ids: Vec<TrackId> =
        back.tracks.iter().map(|t| t.id).filter(|id| back.packets.iter().any(|p| p.track == *id)).collect();
    ids.sort();
    ids.dedup();
    let last = |id: TrackId| back.tracks.iter().rfind(|t| t.id == id).cloned();
    ids.into_iter().filter_map(last).filter(|t| t.codec == codec).nth(nth)
}

fn compare(plan: &Plan, taken: &Taken, back: &Back) {
    let rules = Rules::of(plan.def.id);
    let given = Given { form: plan.form, id: plan.def.id, packets: &taken.packets };
    // By how much all were moved, and how exactly that is known.
    let mut shift: Option<(Duration, Duration)> = None;
    let mut left_out = false;
    for info in &plan.tracks {
        let of = |t: &TrackInfo| {
            let mine: Vec<Packet> = taken.packets.iter().filter(|p| p.track == t.id).cloned().collect();
            let mut wanted = (rules.wanted)(&given, t, mine);
            if rules.in_band && matches!(t.codec, Codec::H264 | Codec::Hevc | Codec::Mpeg2) {
                let before = wanted.iter().take_while(|p| !p.key).count();
                // Without a delimiter of its own, ANNEXB's muxer gives the first picture parameter sets.
                if rules.times != Times::None {
                    wanted.drain(..before);
                }
            }
            wanted
        };
        let all: usize = taken.packets.iter().filter(|p| p.track == info.id).count();
        let wanted = of(info);
        left_out |= wanted.len() < all;
        if wanted.is_empty() {
            continue;
        }
        let codec = (rules.codec)(info.codec);
        let before = plan.tracks.iter().take_while(|t| t.id != info.id);
        let nth = before.filter(|t| (rules.codec)(t.codec) == codec && !of(t).is_empty()).count();
        let at = format!("{} {:?} {info:?} of {:?}", plan.def.id, plan.form, plan.tracks);
        let Some(other) = counterpart(back, codec, nth) else {
            panic!("{at}: lost; there are {:?}, {:?}", back.tracks, back.problems)
        };
        // Between texts, containers may have packets that show nothing.
        let is_gap = |p: &Packet| p.data.is_empty() || info.codec == Codec::Tx3g && p.data[..] == [0, 0];
        let mine = back.packets.iter().filter(|p| p.track == other.id);
        let got: Vec<&Packet> = mine.filter(|p| info.codec.kind() != Kind::Text || !is_gap(p)).collect();
        // Sections that come before any time are few.
        let timed = (rules.timed)(info, &wanted) && (!rules.chained || taken.changed.is_empty());
        if !timed && back.problems.iter().any(|p| p.kind == ErrorKind::Limit("sections before any time")) {
            left_out = true;
            continue;
        }
        let changed = taken.changed.contains(&info.id);
        describe(&at, plan, info, &other, changed);
        let told = mist_core::codec::params(info.codec, &info.init).is_some();
        if !changed && (told || wanted.iter().any(|p| p.key)) {
            assert_eq!(info.size(), other.size(), "{at}: size");
        }
        if rules.samples && is_samples(info.codec) {
            let a: Vec<u8> = wanted.iter().flat_map(|p| p.data.to_vec()).collect();
            let b: Vec<u8> = got.iter().flat_map(|p| p.data.to_vec()).collect();
            assert!(a == b, "{at}: samples");
            continue;
        }
        if wanted.len() != got.len() {
            panic!(
                "{at}: {} packets of {}; {:?}\n{wanted:?}\n{got:?}",
                got.len(),
                wanted.len(),
                back.problems
            );
        }
        // What is shown before it is decoded, or comes when later things were written, may be decoded earlier.
        let start = (rules.wanted)(&given, info, taken.packets[..1].to_vec()).first().map(|p| p.dts);
        let late = wanted.first().is_some_and(|p| start.is_some_and(|s| p.dts < s));
        let early = late || wanted.iter().any(|p| p.cts < Duration::ZERO);
        let precision = (rules.precision)(&plan.tracks, info);
        for (n, (a, b)) in wanted.iter().zip(&got).enumerate() {
            let at = || format!("{at}: {n}: {a:?}, {b:?}");
            let same = if rules.in_band || changed {
                bare(info.codec, &a.data) == bare(info.codec, &b.data)
            } else {
                a.data == b.data
            };
            assert!(same, "{}: payload", at());
            assert_eq!(a.key || info.codec.kind() != Kind::Video, b.key, "{}: key", at());
            if rules.times == Times::None || !timed {
                continue;
            }
            let (shift, rounded) = match rules.times {
                Times::Moved => *shift.get_or_insert((b.pts() - a.pts(), precision)),
                _ => (Duration::ZERO, Duration::ZERO),
            };
            let near = |x: Timestamp, y: Timestamp| (x + shift - y).abs() <= precision + rounded;
            assert!(near(a.pts(), b.pts()), "{}: presentation {shift:?}; {:?}", at(), times(&wanted, &got));
            if (rules.decoding || !reorders(info.codec)) && !early {
                assert!(near(a.dts, b.dts), "{}: decoding {shift:?}", at());
            }
            // Less than all of it is heard.
            if rules.trims && timed && info.codec == Codec::Opus && a.duration > Duration::ZERO {
                assert!((a.duration - b.duration).abs() <= precision, "{}: cut to {:?}", at(), b.duration);
            }
            if rules.durations
                && is_shown(info.codec.kind())
                && (a.duration > Duration::ZERO || plan.form == Form::Indexed)
                && let Some(d) = shown(&wanted, n)
            {
                let until = if b.duration > Duration::ZERO { None } else { got.get(n + 1) };
                let lasts = until.map_or(b.duration, |next| next.pts() - b.pts());
                assert!((d - lasts).abs() <= precision + precision, "{}: shown {d:?} {lasts:?}", at());
            }
        }
        let sorted = got.is_sorted_by_key(|p| p.dts);
        assert!(
            sorted || early || !wanted.is_sorted_by_key(|p| p.dts) || !rules.decoding,
            "{at}: decoding times go back: {got:?}"
        );
    }
    // Whether times may go back was judged above.
    let trouble = back.problems.iter().any(|p| p.kind != ErrorKind::TimeBack);
    assert!(left_out || !trouble, "{}: {:?}", plan.def.id, back.problems);
}

fn describe(at: &str, plan: &Plan, info: &TrackInfo, other: &TrackInfo, changed: bool) {
    let rules = Rules::of(plan.def.id);
    if rules.lang {
        assert_eq!(info.lang, other.lang, "{at}: language");
    }
    if changed {
        return;
    }
    if (rules.init)(&plan.tracks, info) {
        assert_eq!(info.init, other.init, "{at}: init data");
    }
    if rules.visual {
        let (a, b) = (info.visual, other.visual);
        // A container may say that pixels are square or how they are shown where nobody did.
        let square = |v: (u32, u32)| if v == (0, 0) { (1, 1) } else { v };
        assert_eq!((square(a.sar), a.rotation), (square(b.sar), b.rotation), "{at}: shape");
        assert!(a.colour.is_none() || a.colour == b.colour, "{at}: colour {b:?} of {a:?}");
    }
    assert_eq!((info.rate(), info.channels()), (other.rate(), other.channels()), "{at}: sound");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FORMATS;
    use proptest::prelude::*;

    /// Every format that can be written, by its place in the registry.
    fn each(mut data: Vec<u8>) {
        for n in 0..FORMATS.len() {
            data[0] = n as u8;
            mux_round_trip(&data);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn arbitrary_packets(data in prop::collection::vec(any::<u8>(), 2..500)) {
            each(data);
        }
    }
}
