//! Skeleton (*Ogg Skeleton 3.0 and 4.0*): a logical stream that describes the others. Of it only the languages are used.

use super::mapping::lang_tag;
use mist_core::media::Lang;

/// What its first packet begins with.
pub(super) const HEAD: &[u8] = b"fishead\0";

/// The serial number and language that a `fisbone` packet tells.
pub(super) fn language(packet: &[u8]) -> Option<(u32, Lang)> {
    let body = packet.strip_prefix(b"fisbone\0")?;
    let (offset, rest) = body.split_first_chunk()?;
    let serial = u32::from_le_bytes(*rest.first_chunk()?);
    let fields = body.get(usize::try_from(u32::from_le_bytes(*offset)).ok()?..)?;
    fields.split(|b| *b == b'\n').find_map(|line| {
        let (key, value) = line.split_at_checked(9)?;
        if !key.eq_ignore_ascii_case(b"language:") {
            return None;
        }
        Some((serial, lang_tag(value)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_of_a_bone() {
        let mut p = b"fisbone\0".to_vec();
        p.extend([44, 0, 0, 0, 7, 0, 0, 1]);
        p.resize(52, 0);
        p.extend(b"Content-Type: audio/vorbis\r\nLanguage: en-GB\r\n");
        assert_eq!(language(&p), Lang::new("eng").map(|l| (0x0100_0007, l)));
        (0..86).for_each(|n| assert_eq!(language(&p[..n]), None));
        p[8] = 255;
        assert_eq!(language(&p), None);
    }
}
