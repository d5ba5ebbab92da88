//! Session ids as MistServer 2.14 makes them, so that scripts which compute them go on working.

use crate::api::auth::hex;
use md5::{Digest, Md5};
use std::fmt;
use std::net::IpAddr;

/// A session's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// MD5 of 140 bytes: the address as IPv6, the stream name in 100 bytes and the connector in 20, both filled up
    /// with zeros, and `crc` with the high byte first.
    pub fn new(host: IpAddr, stream: &str, connector: &str, crc: u32) -> Self {
        let address = match host {
            IpAddr::V4(a) => a.to_ipv6_mapped(),
            IpAddr::V6(a) => a,
        };
        let mut h = Md5::new();
        h.update(address.octets());
        padded::<100>(&mut h, stream.as_bytes());
        padded::<20>(&mut h, connector.as_bytes());
        h.update(crc.to_be_bytes());
        Self(h.finalize().into())
    }
}

fn padded<const N: usize>(h: &mut Md5, text: &[u8]) {
    let text = text.get(..N).unwrap_or(text);
    h.update(text);
    h.update([0; N].get(text.len()..).unwrap_or_default());
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What tells HTTP viewers behind one address apart: CRC-32 (ISO 3309) of the user agent and the player's own
/// session id (`X-Playback-Session-Id`).
pub fn agent_crc(agent: &str, playback: &str) -> u32 {
    let mut crc = u32::MAX;
    for b in agent.bytes().chain(playback.bytes()) {
        crc ^= u32::from(b);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_check_value() {
        assert_eq!(agent_crc("12345", "6789"), 0xcbf4_3926);
        assert_eq!(agent_crc("", ""), 0);
    }

    #[test]
    fn ids_depend_on_every_part_and_take_any_length() {
        let ip = |s: &str| s.parse::<IpAddr>().unwrap();
        let a = SessionId::new(ip("127.0.0.1"), "live", "HLS", 7);
        // MD5 of the 140 bytes, computed with another program.
        assert_eq!(a.to_string(), "bae379f992d9589baae57b770d23f357");
        assert_eq!(a, SessionId::new(ip("::ffff:127.0.0.1"), "live", "HLS", 7));
        for other in [
            SessionId::new(ip("127.0.0.2"), "live", "HLS", 7),
            SessionId::new(ip("127.0.0.1"), "live2", "HLS", 7),
            SessionId::new(ip("127.0.0.1"), "live", "RTMP", 7),
            SessionId::new(ip("127.0.0.1"), "live", "HLS", 8),
        ] {
            assert_ne!(a, other);
        }
        let long = "x".repeat(500);
        assert_eq!(
            SessionId::new(ip("::1"), &long, &long, 0),
            SessionId::new(ip("::1"), &long[..100], &long[..20], 0)
        );
    }
}
