//! What a source is that no format of this library claims: its name tells people more than that it is unknown.

/// How it is recognised: where, by which bytes, and what it is.
#[rustfmt::skip]
const KNOWN: &[(usize, &[u8], &str)] = &[
    (0, b"\x00\x00\x01\xBA", "an MPEG program stream"),
    (0, b"DKIF", "an IVF file"),
    (0, b"\x1F\x43\xB6\x75", "a Matroska cluster without the head of its file"),
    (8, b"AVI ", "an AVI file"),
    (0, b"\x30\x26\xB2\x75\x8E\x66\xCF\x11", "an ASF file (Windows Media)"),
    (0, b"#!AMR", "an AMR file"),
    (0, b".RMF", "a RealMedia file"),
    (0, b"fLaC", "a FLAC file without a container"),
    (0, b"caff", "a Core Audio file"),
    (0, b"FORM", "an AIFF file"),
    (0, b"[Script Info]", "a SubStation Alpha file"),
    (0, b"\xEF\xBB\xBF[Script Info]", "a SubStation Alpha file"),
    (0, b"\xFE\xFF\0[\0S\0c\0r\0i\0p\0t", "a SubStation Alpha file"),
    (0, b"\xFF\xFE[\0S\0c\0r\0i\0p\0t", "a SubStation Alpha file"),
    (0, b"\xD4\xC3\xB2\xA1", "a capture of a network (pcap)"),
    (0, b"\xA1\xB2\xC3\xD4", "a capture of a network (pcap)"),
    (0, b"\x0A\x0D\x0D\x0A", "a capture of a network (pcapng)"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\xFF\xD8\xFF", "a JPEG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"\x1F\x8B", "packed with gzip"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"%PDF", "a PDF document"),
    (0, b"RTSP/1.0", "a dialogue: read it with --format rtsp"),
    (0, b"ANNOUNCE rtsp:", "a dialogue: read it with --format rtsp"),
    (0, b"OPTIONS rtsp:", "a dialogue: read it with --format rtsp"),
    (0, b"DESCRIBE rtsp:", "a dialogue: read it with --format rtsp"),
];

/// Texts by a word near their start.
const TEXTS: &[(&str, &str)] = &[
    ("<mpd", "a DASH manifest"),
    ("<smoothstreamingmedia", "a Smooth Streaming manifest"),
    ("<manifest", "an HDS manifest"),
    ("<html", "an HTML page, such as a server's message"),
    ("<!doctype html", "an HTML page, such as a server's message"),
    ("<?xml", "XML"),
];

/// What is said of it, with how it begins: such as the message of a server that has refused.
pub(crate) fn describe(head: &[u8]) -> String {
    const SHOWN: usize = 48;
    let start = head.get(..SHOWN).unwrap_or(head).escape_ascii();
    let begins = format!("it begins with \"{start}\"");
    match name(head) {
        Some(what) => format!("not a known format, but {what}; {begins}"),
        None => format!("not a known format; {begins}"),
    }
}

fn name(head: &[u8]) -> Option<&'static str> {
    let is = |k: &&(usize, &[u8], &str)| head.get(k.0..).is_some_and(|h| h.starts_with(k.1));
    if let Some(k) = KNOWN.iter().find(is) {
        return Some(k.2);
    }
    // MPEG audio with a bit rate index of 0: frames don't tell how long they are.
    if let [0xFF, b, c, ..] = *head
        && b & 0xE0 == 0xE0
        && b & 0x06 != 0
        && c & 0xF0 == 0
        && c & 0x0C != 0x0C
    {
        return Some("MPEG audio of free format");
    }
    let text = std::str::from_utf8(head.get(..1024).unwrap_or(head)).ok()?.to_ascii_lowercase();
    TEXTS.iter().find(|t| text.contains(t.0)).map(|t| t.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_is_is_said() {
        for (head, want) in [
            (&b"\x00\x00\x01\xBA!"[..], "an MPEG program stream"),
            (b"<?xml version='1.0'?>\n<!-- x --><MPD xmlns=''>", "a DASH manifest"),
            (b"RIFF\0\0\0\0AVI LIST", "an AVI file"),
            (b"\xFF\xFB\0\0", "MPEG audio of free format"),
            (b"<HTML><body>404", "an HTML page"),
        ] {
            assert!(describe(head).starts_with(&format!("not a known format, but {want}")), "{want}");
        }
        assert_eq!(describe(b"\x01"), "not a known format; it begins with \"\\x01\"");
        assert!(describe(b"").starts_with("not a known format; "));
    }
}
