//! The codecs of Flash: sizes and key frames of Sorenson's H.263, VP6 and Screen Video, frame lengths of
//! Nellymoser and Speex (Adobe FLV specification 10.1, annex E.4).

use super::CodecError;
use super::h264::cropped;
use crate::bits::BitReader;
use crate::media::Params;
use crate::time::Duration;

/// Speex in FLV is always wide band: samples a second.
pub const SPEEX_RATE: u32 = 16_000;
/// Samples of a Speex frame.
pub const SPEEX_SAMPLES: u32 = 320;
/// Bytes of a Nellymoser block.
pub const NELLYMOSER_BLOCK: usize = 64;
/// Samples of a Nellymoser block.
pub const NELLYMOSER_SAMPLES: u32 = 256;

fn video(width: u64, height: u64) -> Result<Params, CodecError> {
    Ok(Params::Video {
        width: cropped(width, 0, "Flash picture width")?,
        height: cropped(height, 0, "Flash picture height")?,
        fpks: 0,
    })
}

/// Size and key flag of an H.263 picture (Sorenson).
///
/// # Errors
/// No picture start code, a reserved size, or it ends early.
pub fn h263(picture: &[u8]) -> Result<(Params, bool), CodecError> {
    let r = &mut BitReader::new(picture);
    if r.bits(17)? != 1 {
        return Err(CodecError::malformed("H.263 picture start code"));
    }
    r.skip(5 + 8)?;
    let (w, h) = match r.bits(3)? {
        0 => (r.bits(8)?, r.bits(8)?),
        1 => (r.bits(16)?, r.bits(16)?),
        2 => (352, 288),
        3 => (176, 144),
        4 => (128, 96),
        5 => (320, 240),
        6 => (160, 120),
        _ => return Err(CodecError::malformed("H.263 picture size")),
    };
    Ok((video(w.into(), h.into())?, r.bits(2)? == 0))
}

/// The frame header of VP6 data: behind the adjustment byte, and the alpha offset with alpha.
fn vp6_frame(data: &[u8], alpha: bool) -> &[u8] {
    data.get(if alpha { 4 } else { 1 }..).unwrap_or_default()
}

/// Whether VP6 data, beginning with FLV's adjustment byte, is a key frame.
pub fn vp6_is_key(data: &[u8], alpha: bool) -> bool {
    vp6_frame(data, alpha).first().is_some_and(|b| b & 0x80 == 0)
}

/// Size of a VP6 key frame, beginning with FLV's adjustment byte.
///
/// # Errors
/// It is no key frame or ends early.
pub fn vp6(data: &[u8], alpha: bool) -> Result<Params, CodecError> {
    let end = CodecError::truncated("VP6 frame header");
    let adjust = *data.first().ok_or(end)?;
    let Some((&[a, b], rest)) = vp6_frame(data, alpha).split_first_chunk() else { return Err(end) };
    if a & 0x80 != 0 {
        return Err(CodecError::malformed("not a VP6 key frame"));
    }
    let offset = if a & 1 != 0 || b & 6 == 0 { 2 } else { 0 };
    let Some(&[rows, columns]) = rest.get(offset..).and_then(<[u8]>::first_chunk) else { return Err(end) };
    let size = |blocks: u8, cut: u8| (u64::from(blocks) * 16).saturating_sub(cut.into());
    video(size(columns, adjust >> 4), size(rows, adjust & 15))
}

/// Size of a Screen Video packet, version 1 or 2. Only the FLV tag tells whether it is a key frame.
///
/// # Errors
/// It ends early or has no size.
pub fn screen(data: &[u8]) -> Result<Params, CodecError> {
    let Some(&[a, b, c, d]) = data.first_chunk() else {
        return Err(CodecError::truncated("Screen Video header"));
    };
    let size = |a, b| u64::from(u16::from_be_bytes([a, b]) & 0xfff);
    video(size(a, b), size(c, d))
}

/// How long a Nellymoser packet lasts.
pub fn nellymoser_duration(data: &[u8], rate: u32) -> Duration {
    let samples = (data.len() / NELLYMOSER_BLOCK) as i64 * i64::from(NELLYMOSER_SAMPLES);
    Duration::from_rate(samples, rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        let size = |p| match p {
            Params::Video { width, height, .. } => (width, height),
            _ => (0, 0),
        };
        let mut w = crate::bits::BitWriter::new();
        for (v, n) in [(1, 17), (0, 5), (9, 8), (1, 3), (640, 16), (360, 16), (0, 2)] {
            w.bits(v, n);
        }
        let picture = w.finish();
        let (p, key) = h263(&picture).unwrap();
        assert_eq!((size(p), key), ((640, 360), true));
        (0..8).for_each(|n| assert!(h263(&picture[..n]).is_err()));
        assert_eq!(size(vp6(&[0x04, 0x78, 0x46, 0x13, 0x14, 0x13, 0x14], false).unwrap()), (320, 300));
        assert!(vp6_is_key(&[0, 0x78], false) && !vp6_is_key(&[0, 0xf8], false) && !vp6_is_key(&[0], false));
        assert_eq!(size(screen(&[0x12, 0x80, 0x11, 0xe0]).unwrap()), (640, 480));
        assert_eq!(nellymoser_duration(&[0; 256], 22_050), Duration::from_rate(1024, 22_050));
    }

    proptest! {
        #[test]
        fn any_bytes(v in prop::collection::vec(any::<u8>(), 0..20), alpha: bool) {
            let _ = (h263(&v), vp6(&v, alpha), vp6_is_key(&v, alpha), screen(&v));
            let mut p = vec![0, 0, 0x80];
            p.extend(&v);
            let _ = h263(&p);
        }
    }
}
