//! The headers `Transport` (RFC 2326 §12.39) and `RTP-Info` (§12.33), and the URLs of sections.

use super::limits;

/// What `Transport` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Transport {
    /// Protocol, profile and lower transport, such as `RTP/AVP/TCP`.
    pub protocol: String,
    /// Channels of RTP and RTCP between the messages.
    pub interleaved: Option<(u8, u8)>,
}

impl Transport {
    /// Reads the alternatives of a header, best first.
    pub fn parse(value: &str) -> Vec<Self> {
        let one = |text: &str| {
            let mut parts = text.split(';').map(str::trim);
            let mut t = Self { protocol: parts.next().unwrap_or_default().to_owned(), ..Self::default() };
            for (name, value) in parts.filter_map(|p| p.split_once('=')) {
                if name.trim().eq_ignore_ascii_case("interleaved") {
                    t.interleaved = channels(value.trim());
                }
            }
            t
        };
        value.split(',').take(limits::PARTS).map(one).filter(|t| !t.protocol.is_empty()).collect()
    }
}

/// `0-1`, or a single channel, which RTCP follows.
fn channels(text: &str) -> Option<(u8, u8)> {
    let (rtp, rtcp) = text.split_once('-').map_or((text, None), |(a, b)| (a, Some(b)));
    let rtp: u8 = rtp.trim().parse().ok()?;
    match rtcp {
        Some(b) => Some((rtp, b.trim().parse().ok()?)),
        None => Some((rtp, rtp.checked_add(1)?)),
    }
}

/// What `RTP-Info` says of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RtpInfo {
    /// The section's URL.
    pub url: String,
    /// Timestamp of the beginning of what is played; absent or no number where the server doesn't know.
    pub rtptime: Option<u32>,
}

impl RtpInfo {
    /// Reads the parts of a header. Commas and semicolons inside a URL are taken as part of it.
    pub fn parse(value: &str) -> Vec<Self> {
        let mut out: Vec<Self> = Vec::new();
        for part in value.split(',') {
            let (mut url, mut rtptime) = (None, None);
            for p in part.split(';') {
                let (name, value) = p.split_once('=').unwrap_or((p, ""));
                match name.trim().to_ascii_lowercase().as_str() {
                    "url" => url = Some(value.trim().trim_matches('"').to_owned()),
                    "rtptime" => rtptime = value.trim().parse().ok(),
                    _ => {}
                }
            }
            if let Some(url) = url {
                if out.len() == limits::PARTS {
                    break;
                }
                out.push(Self { url, rtptime });
            } else if let (Some(last), true) = (out.last_mut(), rtptime.is_some()) {
                last.rtptime = rtptime;
            }
        }
        out
    }
}

/// Whether `url`, as a request or RTP-Info has it, is that of a section with this `control` attribute. Cameras build it from
/// different bases, so that only the end counts where `control` is relative.
pub fn controls(url: &str, control: &str) -> bool {
    let (url, control) = (url.trim_end_matches('/'), control.trim_end_matches('/'));
    if control.is_empty() || control == "*" {
        return false;
    }
    match (path(url), path(control)) {
        // Hosts and ports are written in several ways.
        (Some(a), Some(b)) => a == b,
        (Some(_), None) => ends_with(url, control),
        (None, Some(_)) => ends_with(control, url),
        (None, None) => url == control || ends_with(url, control) || ends_with(control, url),
    }
}

/// Whether `url` has `end` behind a place where a relative URL may begin.
fn ends_with(url: &str, end: &str) -> bool {
    let base = url.strip_suffix(end).filter(|_| !end.is_empty());
    base.is_some_and(|base| base.ends_with(['/', '?', '&']) || end.starts_with(['?', '/']))
}

/// What is behind the host of an absolute URL.
fn path(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    Some(rest.split_once('/').map_or("", |(_, p)| p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_cameras() {
        let t = Transport::parse(
            "RTP/AVP/TCP;unicast;destination=192.168.1.210;interleaved=0-1;ssrc=4cacc3d1;mode=\"play\"",
        );
        assert_eq!((t[0].protocol.as_str(), t[0].interleaved), ("RTP/AVP/TCP", Some((0, 1))));
        let t = Transport::parse("RTP/AVP;unicast;client_port=1-2, RTP/AVP/TCP; Interleaved = 4 ");
        assert_eq!((t[0].interleaved, t[1].interleaved), (None, Some((4, 5))));
        assert_eq!(Transport::parse("RTP/AVP/TCP;interleaved=300-301")[0].interleaved, None);
        assert_eq!(Transport::parse("RTP/AVP/TCP;interleaved=255")[0].interleaved, None);
        assert_eq!(Transport::parse(&"a,".repeat(1000)).len(), limits::PARTS);
        let all = RtpInfo::parse(
            "url=trackID=1;seq=1;rtptime=7, url=rtsp://h/vod/mp4:a.mov/trackID=2;seq=1;rtptime=-1",
        );
        let all: Vec<_> = all.iter().map(|i| (i.url.as_str(), i.rtptime)).collect();
        assert_eq!(all, [("trackID=1", Some(7)), ("rtsp://h/vod/mp4:a.mov/trackID=2", None)]);
        assert_eq!(RtpInfo::parse(";;,=,rtptime=5"), []);
    }

    #[test]
    fn urls_of_sections() {
        for (url, control) in [
            ("rtsp://h/cam/trackID=1", "trackID=1"),
            ("rtsp://h/cam/trackID=1/", "trackID=1"),
            ("rtsp://h:554/a/trackID=1?x=y", "rtsp://10.0.0.1/a/trackID=1?x=y"),
            ("trackID=1", "trackID=1"),
            ("rtsp://h/cam?a=b&track1", "track1"),
            ("streamid=0", "rtsp://h/x/streamid=0"),
            ("x/streamid=0", "streamid=0"),
        ] {
            assert!(controls(url, control), "{url} {control}");
        }
        for (url, control) in [
            ("rtsp://h/trackID=11", "trackID=1"),
            ("rtsp://h/a", "*"),
            ("rtsp://h/xtrack1", "track1"),
            ("trackID=1", "trackID=2"),
            ("rtsp://h/a/trackID=1", "rtsp://h/a/trackID=2"),
            ("", "trackID=2"),
        ] {
            assert!(!controls(url, control), "{url} {control}");
        }
    }
}
