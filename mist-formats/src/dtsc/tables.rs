//! A track's packed tables: `parts` (one line a packet), `keys` and `keysizes` (one line a key), `fragments`.
//!
//! Times in them are whole milliseconds, and nothing says how long a packet is shown. Two tables of our own keep what is
//! missing, in ticks of [`mist_core::time`]; others pass them over. `remainders` has 24 signed bits of decoding time
//! and 24 of composition offset a packet, `durations` runs of packets with one duration: 32 bits for how many
//! and 64 for the duration.

use super::limits;
use super::value::Object;
use bytes::{BufMut, Bytes, BytesMut};
use mist_core::format::{ErrorKind, IndexEntry};
use mist_core::media::{Kind, TrackInfo};
use mist_core::time::{Duration, Timestamp};

/// Bytes of a line of `fragments`.
const FRAGMENT: usize = 13;
/// Bytes of a line of `keys`.
const KEY: usize = 25;
/// Bytes of a line of `keysizes`.
const KEYSIZE: usize = 4;
/// Bytes of a line of `parts`.
const PART: usize = 9;
/// Bytes of a line of `remainders`.
const REMAINDER: usize = 6;
/// Bytes of a line of `durations`.
const RUN: usize = 12;
/// What 24 bits hold.
const U24: i64 = 0xff_ffff;

/// A place where reading can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Position of its first packet in the track's list.
    pub packet: usize,
    /// Offset in the media file of that packet; 0 for unknown.
    pub bpos: u64,
}

/// Whether a packet starts a key: video's keyframes, and of other tracks the first packet after 2 seconds.
pub fn starts_key(info: &TrackInfo, last: Option<Timestamp>, entry: &IndexEntry) -> bool {
    let Some(last) = last else { return true };
    match info.codec.kind() {
        Kind::Video => entry.key,
        _ => entry.dts - last >= Duration::from_millis(limits::KEY_MS) || entry.dts < last,
    }
}

/// The tables as they are packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tables {
    fragments: Bytes,
    keys: Bytes,
    keysizes: Bytes,
    parts: Bytes,
    remainders: Bytes,
    durations: Bytes,
}

fn put_u24(v: i64, out: &mut BytesMut) {
    let [.., a, b, c] = v.to_be_bytes();
    out.put_slice(&[a, b, c]);
}

fn u24(b: [u8; 3]) -> u32 {
    let [x, y, z] = b;
    u32::from_be_bytes([0, x, y, z])
}

fn i24(b: [u8; 3]) -> i64 {
    let v = i64::from(u24(b));
    if v > U24 / 2 { v - U24 - 1 } else { v }
}

impl Tables {
    /// Packs. `None` where there is nothing to pack, or something doesn't fit the fields.
    pub(super) fn of(info: &TrackInfo, packets: &[IndexEntry], keys: &[Key], zero: i64) -> Option<Self> {
        if packets.is_empty() || keys.first()?.packet != 0 {
            return None;
        }
        let mut parts = BytesMut::with_capacity(packets.len() * PART);
        let mut rests = BytesMut::with_capacity(packets.len() * REMAINDER);
        let mut exact = true;
        let text = info.codec.kind() == Kind::Text;
        let mut last = 0;
        let next = packets.iter().skip(1).map(Some).chain([None]);
        for (p, next) in packets.iter().zip(next) {
            let (ms, cts) = (p.dts.as_millis(), p.cts.as_millis());
            let duration = next.map_or(last, |n| n.dts.as_millis() - ms);
            // Between cues hours may pass; their times come from their keys.
            let duration = if text { duration.min(U24) } else { duration };
            if !(0..=U24).contains(&duration) || i64::from(p.size) > U24 || cts.abs() > U24 / 2 {
                return None;
            }
            last = duration;
            put_u24(p.size.into(), &mut parts);
            put_u24(duration, &mut parts);
            put_u24(cts, &mut parts);
            let rest = [
                p.dts.ticks().checked_sub(Timestamp::from_millis(ms).ticks())?,
                p.cts.ticks().checked_sub(Duration::from_millis(cts).ticks())?,
            ];
            for r in rest {
                exact &= r == 0;
                put_u24(r, &mut rests);
            }
        }
        let (mut lines, mut sizes) = (BytesMut::new(), BytesMut::new());
        let mut fragments = Fragments::default();
        let ends = keys.iter().skip(1).map(|k| k.packet).chain([packets.len()]);
        for ((key, end), number) in keys.iter().zip(ends).zip(1u32..) {
            let of = packets.get(key.packet..end).filter(|of| !of.is_empty())?;
            let time = of.first()?.dts.as_millis();
            let end_ms = packets.get(end).map_or(of.last()?.dts.as_millis() + last, |p| p.dts.as_millis());
            let duration = (end_ms - time).clamp(0, U24);
            let size = of.iter().map(|p| u64::from(p.size)).sum::<u64>();
            lines.put_u64(key.bpos);
            put_u24(duration, &mut lines);
            lines.put_u32(number);
            lines.put_u16(u16::try_from(of.len()).ok()?);
            lines.put_u64(u64::try_from(time.checked_sub(zero)?).ok()?);
            sizes.put_u32(u32::try_from(size).ok()?);
            fragments.key(number, duration, size);
        }
        Some(Self {
            fragments: fragments.finish(),
            keys: lines.freeze(),
            keysizes: sizes.freeze(),
            parts: parts.freeze(),
            remainders: if exact { Bytes::new() } else { rests.freeze() },
            durations: pack_durations(packets),
        })
    }

    pub(super) fn write(self, o: &mut Object) {
        o.set("fragments", self.fragments);
        o.set("keys", self.keys);
        o.set("keysizes", self.keysizes);
        o.set("parts", self.parts);
        if !self.remainders.is_empty() {
            o.set("remainders", self.remainders);
        }
        if !self.durations.is_empty() {
            o.set("durations", self.durations);
        }
    }

    /// The tables of a track; `None` if one is missing, which means that there are none.
    pub(super) fn read(o: &Object) -> Option<Self> {
        let blob = |name| o.blob(name).cloned();
        Some(Self {
            fragments: blob("fragments")?,
            keys: blob("keys").filter(|b| !b.is_empty())?,
            keysizes: blob("keysizes")?,
            parts: blob("parts").filter(|b| !b.is_empty())?,
            remainders: blob("remainders").unwrap_or_default(),
            durations: blob("durations").unwrap_or_default(),
        })
    }

    /// Unpacks. Key numbers aren't looked at: they start at 0 or 1 by version, and lines are in order anyway.
    pub(super) fn packets(
        &self,
        info: &TrackInfo,
        zero: i64,
    ) -> Result<(Vec<IndexEntry>, Vec<Key>), ErrorKind> {
        let lengths =
            [(&self.fragments, FRAGMENT), (&self.keys, KEY), (&self.keysizes, KEYSIZE), (&self.parts, PART)];
        if lengths.iter().any(|(b, line)| b.len() % line != 0) {
            return Err(ErrorKind::Malformed("table with half a line"));
        }
        let count = self.parts.len() / PART;
        let rests = if self.remainders.len() == count * REMAINDER { &self.remainders[..] } else { &[] };
        let video = info.codec.kind() == Kind::Video;
        let mut packets: Vec<IndexEntry> = Vec::with_capacity(count);
        let mut keys = Vec::with_capacity(self.keys.len() / KEY);
        let mut lines = self.parts.chunks_exact(PART);
        let mut rests = rests.chunks_exact(REMAINDER);
        for line in self.keys.chunks_exact(KEY) {
            let Some((&bpos, rest)) = line.split_first_chunk::<8>() else { continue };
            let Some((rest, &time)) = rest.split_last_chunk::<8>() else { continue };
            // Between them lie duration and number, which the lines tell as well.
            let Some(&parts) = rest.last_chunk::<2>() else { continue };
            let (bpos, parts) = (u64::from_be_bytes(bpos), u16::from_be_bytes(parts));
            let time =
                i64::try_from(u64::from_be_bytes(time)).map_err(|_| ErrorKind::Malformed("time of a key"))?;
            let mut ms = time.saturating_add(zero);
            keys.push(Key { packet: packets.len(), bpos });
            for n in 0..parts {
                let Some(&[s0, s1, s2, d0, d1, d2, c0, c1, c2]) = lines.next() else {
                    return Err(ErrorKind::Malformed("more packets in keys than in parts"));
                };
                let mut dts = Timestamp::from_millis(ms);
                let mut cts = Duration::from_millis(i24([c0, c1, c2]));
                if let Some(&[a, b, c, d, e, f]) = rests.next() {
                    dts += Duration::from_ticks(i24([a, b, c]));
                    cts += Duration::from_ticks(i24([d, e, f]));
                }
                packets.push(IndexEntry {
                    dts,
                    cts,
                    duration: Duration::ZERO,
                    size: u24([s0, s1, s2]),
                    key: !video || n == 0,
                });
                ms = ms.saturating_add(u24([d0, d1, d2]).into());
            }
        }
        if lines.next().is_some() {
            return Err(ErrorKind::Malformed("more packets in parts than in keys"));
        }
        let mut left = packets.iter_mut();
        for run in self.durations.chunks_exact(RUN) {
            let (Some((&n, ticks)), true) = (run.split_first_chunk::<4>(), left.len() > 0) else { break };
            let Some(&ticks) = ticks.first_chunk::<8>() else { break };
            let duration = Duration::from_ticks(i64::from_be_bytes(ticks));
            left.by_ref().take(u32::from_be_bytes(n) as usize).for_each(|p| p.duration = duration);
        }
        // A key without packets is nowhere.
        let len = packets.len();
        keys.retain(|k| k.packet < len);
        keys.dedup_by_key(|k| k.packet);
        Ok((packets, keys))
    }
}

/// Runs of equal durations; nothing where all are 0.
fn pack_durations(packets: &[IndexEntry]) -> Bytes {
    let mut out = BytesMut::new();
    if packets.iter().any(|p| p.duration != Duration::ZERO) {
        for run in packets.chunk_by(|a, b| a.duration == b.duration) {
            out.put_u32(u32::try_from(run.len()).unwrap_or(u32::MAX));
            out.put_i64(run.first().map_or(0, |p| p.duration.ticks()));
        }
    }
    out.freeze()
}

/// Keys gathered to fragments.
#[derive(Default)]
struct Fragments {
    out: BytesMut,
    first: u32,
    keys: u8,
    ms: i64,
    size: u64,
}

impl Fragments {
    fn key(&mut self, number: u32, ms: i64, size: u64) {
        if self.keys > 0 && (self.ms >= limits::FRAGMENT_MS || self.keys == u8::MAX) {
            self.close();
        }
        if self.keys == 0 {
            self.first = number;
        }
        self.keys += 1;
        self.ms = self.ms.saturating_add(ms);
        self.size = self.size.saturating_add(size);
    }

    fn close(&mut self) {
        self.out.put_u32(u32::try_from(self.ms).unwrap_or(u32::MAX));
        self.out.put_u8(self.keys);
        self.out.put_u32(self.first);
        self.out.put_u32(u32::try_from(self.size).unwrap_or(u32::MAX));
        (self.keys, self.ms, self.size) = (0, 0, 0);
    }

    fn finish(mut self) -> Bytes {
        if self.keys > 0 {
            self.close();
        }
        self.out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mist_core::codec::Codec;
    use mist_core::media::{Params, TrackId};

    fn video() -> TrackInfo {
        TrackInfo::new(TrackId(1), Codec::Vp8, Bytes::new(), Params::Video { width: 16, height: 16, fpks: 0 })
    }

    fn entries(n: i64, rate: u32) -> Vec<IndexEntry> {
        let line = |i: i64| IndexEntry {
            dts: Timestamp::from_rate(i - 2, rate),
            cts: Duration::from_rate(2 - i % 2, rate),
            duration: Duration::from_millis(if rate == 25 { 0 } else { 1 + i / 30 }),
            size: 100 + i as u32,
            key: i % 10 == 0,
        };
        (0..n).map(line).collect()
    }

    fn keys(packets: &[IndexEntry]) -> Vec<Key> {
        let at = packets.iter().enumerate().filter(|(_, p)| p.key);
        at.map(|(packet, _)| Key { packet, bpos: packet as u64 * 1000 }).collect()
    }

    #[test]
    fn packets_go_through_their_tables() {
        for rate in [25, 30_000, 44_100] {
            let packets = entries(95, rate);
            let keys = keys(&packets);
            let t = Tables::of(&video(), &packets, &keys, -80).unwrap();
            assert_eq!(
                (t.remainders.is_empty(), t.durations.len()),
                (rate == 25, if rate == 25 { 0 } else { 4 * RUN })
            );
            assert_eq!(t.packets(&video(), -80).unwrap(), (packets, keys));
            let mut o = Object::new();
            t.clone().write(&mut o);
            assert_eq!(Tables::read(&o), Some(t));
        }
    }

    #[test]
    fn lines_are_as_real_servers_write_them() {
        let packets = entries(21, 25);
        let t = Tables::of(&video(), &packets, &keys(&packets), -80).unwrap();
        // From −80 ms: 10 packets of 40 ms; the key numbers start at 1.
        assert_eq!(
            t.keys[..25],
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x90, 0, 0, 0, 1, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(t.parts[..9], [0, 0, 100, 0, 0, 40, 0, 0, 80]);
        assert_eq!(t.keysizes[..4], (1000u32 + 45).to_be_bytes());
        // Three keys are 840 ms, one fragment.
        assert_eq!(t.fragments[..], [0, 0, 3, 72, 3, 0, 0, 0, 1, 0, 0, 9, 6]);
    }

    #[test]
    fn tables_that_disagree_or_do_not_fit_are_refused() {
        let packets = entries(21, 25);
        let good = Tables::of(&video(), &packets, &keys(&packets), -80).unwrap();
        let parts = good.parts.clone();
        for (bad, what) in [
            (parts.slice(..parts.len() - 9), "more packets in keys than in parts"),
            (parts.slice(..parts.len() - 1), "table with half a line"),
            (Bytes::from([&parts[..], &parts[..9]].concat()), "more packets in parts than in keys"),
        ] {
            let t = Tables { parts: bad, ..good.clone() };
            assert_eq!(t.packets(&video(), 0), Err(ErrorKind::Malformed(what)));
        }
        let mut big = packets;
        big[3].size = 1 << 24;
        assert_eq!(Tables::of(&video(), &big, &keys(&big), -80), None);
    }
}
