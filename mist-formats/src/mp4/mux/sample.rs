//! From packets to samples. Nearly all are the same; text isn't.

use bytes::Bytes;
use mist_core::codec::{Codec, text};
use mist_core::media::{Packet, TrackInfo};

/// Bytes of a WebVTT sample besides its cue's payload: boxes around the cue's parts take at most 32, and what they don't
/// is filled up with a comment, which takes eight or more. So samples can be laid out before their text is known.
const WEBVTT_AROUND: u32 = 40;

/// Bytes of a sample besides the payload.
pub(super) const fn around(codec: Codec) -> u32 {
    match codec {
        Codec::WebVtt => WEBVTT_AROUND,
        _ => 0,
    }
}

/// What shows nothing: between texts.
pub(super) const fn gap(codec: Codec) -> &'static [u8] {
    match codec {
        Codec::Tx3g => &[0, 0],
        Codec::WebVtt => b"\0\0\0\x08vtte",
        _ => &[],
    }
}

/// Appends the pieces of a packet's sample. `parameters` go in front of keyframes.
pub(super) fn put(info: &TrackInfo, p: &Packet, parameters: &Bytes, pieces: &mut Vec<Bytes>) {
    match info.codec {
        Codec::WebVtt => pieces.push(webvtt(&p.data)),
        _ => {
            if p.key && !parameters.is_empty() {
                pieces.push(parameters.clone());
            }
            pieces.push(p.data.clone());
        }
    }
}

/// A cue in its boxes, [`WEBVTT_AROUND`] bytes longer than it; a gap for an empty one.
fn webvtt(cue: &Bytes) -> Bytes {
    let mut sample = text::wvtt_sample((!cue.is_empty()).then_some(cue));
    let want = cue.len() + WEBVTT_AROUND as usize;
    // Text that isn't UTF-8, and so not canonical, can become longer.
    if sample.len() + 8 > want {
        sample = Bytes::from_static(gap(Codec::WebVtt));
    }
    let mut out = Vec::with_capacity(want);
    out.extend_from_slice(&sample);
    // A comment (`vtta`): text between cues, of spaces.
    out.extend_from_slice(&(want.saturating_sub(sample.len()) as u32).to_be_bytes());
    out.extend_from_slice(b"vtta");
    out.resize(want, b' ');
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn webvtt_samples_are_as_long_as_laid_out(id in "[a-z]{0,5}", settings in "[a-z:% ]{0,9}", body in "[a-z<>/ \n]{0,40}") {
            let cue = text::Cue { id: id.into(), settings: settings.into(), text: body.into() }.build();
            let sample = webvtt(&cue);
            prop_assert_eq!(sample.len(), cue.len() + WEBVTT_AROUND as usize);
            let cues = text::wvtt_cues(&sample).unwrap();
            prop_assert_eq!(cues.first().cloned().unwrap_or_default(), cue);
        }
    }
}
