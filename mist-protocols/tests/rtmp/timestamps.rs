//! Timestamps past 2^24 and 2^32 milliseconds: whole sessions, and chunks of every type in both dialects.

use crate::support::*;
use bytes::Bytes;
use mist_core::media::Media;
use mist_core::session::Input;
use mist_protocols::rtmp::chunk::{ChunkReader, ExtendedTimestamps};
use mist_protocols::rtmp::limits::Limits;
use mist_protocols::rtmp::{CLIENT_TICKET, ClientConfig, Direction};

#[test]
fn sessions_pass_both_borders() {
    for start in [(1i64 << 24) - 1000, (1 << 32) - 1000] {
        for split in [7, usize::MAX] {
            let mut p = Pair::new("rtmp://h/pw/x", ClientConfig::new(Direction::Publish, [1; 32]), split);
            p.run(yes);
            let now = p.clock.now();
            let packets = programme(start);
            for t in [video(), audio()] {
                p.client.handle(now, Input::Media(CLIENT_TICKET, Media::Track(t)));
            }
            for q in &packets {
                p.client.handle(now, Input::Media(CLIENT_TICKET, Media::Packet(q.clone())));
            }
            p.run(yes);
            assert_eq!(p.at_server.packets(), packets, "{start} {split}");
        }
    }
}

use mist_core::session::Session as _;

/// Chunks written by hand.
struct Chunks {
    out: Vec<u8>,
    repeats: bool,
}

impl Chunks {
    fn head(&mut self, fmt: u8, field: u32, len: usize) -> Option<u32> {
        self.out.push(fmt << 6 | 6);
        let short = field.min(0xFF_FFFF);
        if fmt < 3 {
            self.out.extend(&short.to_be_bytes()[1..]);
        }
        if fmt < 2 {
            self.out.extend(&(len as u32).to_be_bytes()[1..]);
            self.out.push(9);
        }
        if fmt == 0 {
            self.out.extend([1, 0, 0, 0]);
        }
        let extended = (field >= 0xFF_FFFF).then_some(field);
        if let Some(e) = extended.filter(|_| fmt < 3 || self.repeats) {
            self.out.extend(e.to_be_bytes());
        }
        extended
    }

    /// A message of `len` bytes in chunks of 128.
    fn message(&mut self, fmt: u8, field: u32, len: usize) {
        self.head(fmt, field, len);
        for (i, c) in vec![0x5A; len].chunks(128).enumerate() {
            if i > 0 {
                self.head(3, field, len);
            }
            self.out.extend(c);
        }
    }
}

fn read(bytes: &[u8], split: usize) -> (Vec<(u32, usize)>, ExtendedTimestamps) {
    let mut r = ChunkReader::new(Limits::DEFAULT, 0);
    let mut got = Vec::new();
    for c in bytes.chunks(split) {
        r.push(Bytes::copy_from_slice(c));
        while let Some(m) = r.poll().unwrap() {
            assert!(m.body.iter().all(|b| *b == 0x5A), "payload is payload");
            got.push((m.time, m.body.len()));
        }
    }
    (got, r.extended_timestamps())
}

#[test]
fn every_type_in_both_dialects() {
    for repeats in [true, false] {
        for len in [5usize, 127, 128, 129, 400] {
            let mut c = Chunks { out: Vec::new(), repeats };
            c.message(0, 0xFF_FFFE, len);
            c.message(1, 1, len);
            c.message(2, 40, len);
            c.message(3, 40, len);
            c.message(0, 0xFFFF_FFF0, len);
            c.message(1, 0x20, len);
            c.message(0, 0x0100_0000, len);
            c.message(1, 0x0100_0000, len);
            c.message(2, 0x0200_0000, len);
            if repeats || len > 128 {
                // Without an earlier chunk of type 3 the dialect can't be known here.
                c.message(3, 0x0200_0000, len);
            }
            let mut want = vec![0xFF_FFFE, 0xFF_FFFF, 0x100_0027, 0x100_004F, 0xFFFF_FFF0, 0x10];
            want.extend([0x0100_0000, 0x0200_0000, 0x0400_0000]);
            if repeats || len > 128 {
                want.push(0x0600_0000);
            }
            let want: Vec<_> = want.into_iter().map(|t| (t, len)).collect();
            for split in SPLITS {
                let (got, dialect) = read(&c.out, split.min(c.out.len()));
                assert_eq!(got, want, "repeats {repeats} len {len} split {split}");
                let expect = match (repeats, len > 128) {
                    (true, _) => ExtendedTimestamps::Repeated,
                    (false, true) => ExtendedTimestamps::Omitted,
                    (false, false) => ExtendedTimestamps::Unknown,
                };
                assert_eq!(dialect, expect);
            }
        }
    }
}

#[test]
fn type_3_after_type_0() {
    let mut c = Chunks { out: Vec::new(), repeats: true };
    c.message(0, 40, 10);
    c.message(3, 40, 10);
    assert_eq!(read(&c.out, 99).0, [(40, 10), (80, 10)], "as the specification says");
    let mut c = Chunks { out: Vec::new(), repeats: true };
    c.message(0, 3_600_000, 10);
    c.message(3, 0, 10);
    assert_eq!(read(&c.out, 99).0, [(3_600_000, 10), (3_600_000, 10)], "as librtmp means it");
}

#[test]
fn rounding_does_not_add_up() {
    use mist_core::time::Timestamp;
    let mut p = Pair::new("rtmp://h/pw/x", ClientConfig::new(Direction::Publish, [1; 32]), usize::MAX);
    p.run(yes);
    let now = p.clock.now();
    p.client.handle(now, Input::Media(CLIENT_TICKET, Media::Track(audio())));
    for i in 0..20_000i64 {
        let mut q = packet(audio().id, 0, 0, true, 10);
        q.dts = Timestamp::from_rate(i * 1024, 44100);
        p.client.handle(now, Input::Media(CLIENT_TICKET, Media::Packet(q)));
    }
    p.run(yes);
    for (i, q) in p.at_server.packets().iter().enumerate() {
        assert_eq!(q.dts.as_millis(), Timestamp::from_rate(i as i64 * 1024, 44100).as_millis());
    }
}
