//! Packets in the order of their sequence numbers (RFC 3550 appendix A.1), and how many are missing.
//!
//! A packet that comes too early waits until those before it came, or until more wait than the window allows; TCP doesn't
//! reorder, and a window of 0 is right there. A sequence that continues elsewhere is taken as new when two packets in a row say so.

use super::limits;
use super::packet::Packet;
use std::collections::VecDeque;

/// Puts packets in order.
#[derive(Debug)]
pub struct Order {
    window: usize,
    next: Option<u16>,
    /// In order; all lie ahead of `next`.
    held: VecDeque<(Packet, u64)>,
    /// What would follow a packet that doesn't fit.
    elsewhere: Option<u16>,
}

/// A packet in its turn.
#[derive(Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The packet.
    pub packet: Packet,
    /// Where it lies in its source, as it was given.
    pub offset: u64,
    /// Packets that are missing right before it.
    pub lost: u16,
    /// It doesn't continue what was before: the sender counts anew.
    pub restarted: bool,
}

impl Order {
    /// Lets up to `window` packets wait, at most [`limits::REORDER`].
    pub fn new(window: usize) -> Self {
        Self { window: window.min(limits::REORDER), next: None, held: VecDeque::new(), elsewhere: None }
    }

    /// Takes a packet, which lies at `offset` of its source, and gives those whose turn it is.
    pub fn push(&mut self, p: Packet, offset: u64, give: &mut impl FnMut(Ordered)) {
        let Some(next) = self.next else {
            self.next = Some(p.sequence.wrapping_add(1));
            return give(Ordered { packet: p, offset, lost: 0, restarted: false });
        };
        let ahead = p.sequence.wrapping_sub(next);
        if ahead >= limits::DROPOUT {
            if ahead.wrapping_neg() <= limits::MISORDER {
                // Late or twice.
                return;
            }
            if self.elsewhere != Some(p.sequence) {
                self.elsewhere = Some(p.sequence.wrapping_add(1));
                return;
            }
            self.flush(give);
            self.elsewhere = None;
            self.next = Some(p.sequence.wrapping_add(1));
            return give(Ordered { packet: p, offset, lost: 0, restarted: true });
        }
        self.elsewhere = None;
        let distance = |s: u16| s.wrapping_sub(next);
        let at = self.held.partition_point(|h| distance(h.0.sequence) < ahead);
        if self.held.get(at).is_some_and(|h| h.0.sequence == p.sequence) {
            return;
        }
        self.held.insert(at, (p, offset));
        self.drain(self.window, give);
    }

    /// Gives all that wait.
    pub fn flush(&mut self, give: &mut impl FnMut(Ordered)) {
        self.drain(0, give);
    }

    /// Gives what continues, and the first ones while more than `keep` wait.
    fn drain(&mut self, keep: usize, give: &mut impl FnMut(Ordered)) {
        while let (Some(next), Some(first)) = (self.next, self.held.front()) {
            let lost = first.0.sequence.wrapping_sub(next);
            if lost > 0 && self.held.len() <= keep {
                return;
            }
            let Some((packet, offset)) = self.held.pop_front() else { return };
            self.next = Some(packet.sequence.wrapping_add(1));
            give(Ordered { packet, offset, lost, restarted: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn run(window: usize, sequence: &[u16]) -> Vec<(u16, u16, bool)> {
        let mut order = Order::new(window);
        let mut out = Vec::new();
        let mut give = |o: Ordered| out.push((o.packet.sequence, o.lost, o.restarted));
        for s in sequence {
            let p = Packet {
                marker: false,
                payload_type: 0,
                sequence: *s,
                timestamp: 0,
                ssrc: 0,
                payload: Bytes::new(),
            };
            order.push(p, 0, &mut give);
            assert!(order.held.len() <= window);
        }
        order.flush(&mut give);
        out
    }

    #[test]
    fn waits_counts_and_starts_anew() {
        let plain = |s: &[u16]| s.iter().map(|s| (*s, 0, false)).collect::<Vec<_>>();
        assert_eq!(run(4, &[65534, 0, 65535, 1, 1, 3, 2]), plain(&[65534, 65535, 0, 1, 2, 3]));
        assert_eq!(run(0, &[65534, 0, 65535, 1]), [(65534, 0, false), (0, 1, false), (1, 0, false)]);
        assert_eq!(run(2, &[1, 5, 6, 7, 2]), [(1, 0, false), (5, 3, false), (6, 0, false), (7, 0, false)]);
        assert_eq!(run(9, &[1, 5]), [(1, 0, false), (5, 3, false)]);
        // However many of them follow each other.
        assert_eq!(run(0, &[1, 2, 3, 4, 3, 4, 5]), plain(&[1, 2, 3, 4, 5]));
        let late: Vec<u16> = [1, 2].into_iter().chain(5..24).chain([3, 4]).chain(24..26).collect();
        assert_eq!(run(16, &late)[..3], [(1, 0, false), (2, 0, false), (5, 2, false)]);
        assert!(run(16, &late).iter().skip(3).map(|g| g.0).eq(6..26));
        let from = 1001 - limits::MISORDER;
        assert_eq!(run(0, &[1000, from, from + 1, 1001]), plain(&[1000, 1001]));
        assert_eq!(run(0, &[1000, 899, 900, 901])[1..], [(900, 0, true), (901, 0, false)]);
        // One that is out of place is dropped, two are a new sequence.
        assert_eq!(run(2, &[10, 40_000, 11]), plain(&[10, 11]));
        let restarted = [(10, 0, false), (12, 1, false), (40_001, 0, true), (40_002, 0, false)];
        assert_eq!(run(2, &[10, 12, 40_000, 40_001, 40_002]), restarted);
    }

    proptest! {
        #[test]
        fn any_sequence(window in 0usize..9, s in prop::collection::vec(any::<u16>(), 0..80)) {
            prop_assert!(run(window, &s).len() <= s.len());
        }

        #[test]
        fn small_disorder_is_undone(start: u16, swaps in prop::collection::vec(0usize..60, 0..20)) {
            let right: Vec<u16> = (0..64).map(|n| start.wrapping_add(n)).collect();
            let mut mixed = right.clone();
            let mut touched = [false; 64];
            for at in swaps {
                // The first one says where it starts.
                if at > 0 && !touched[at] && !touched[at + 2] {
                    mixed.swap(at, at + 2);
                    (touched[at], touched[at + 2]) = (true, true);
                }
            }
            let got = run(16, &mixed);
            prop_assert!(got.iter().all(|g| g.1 == 0 && !g.2));
            prop_assert_eq!(got.iter().map(|g| g.0).collect::<Vec<_>>(), right);
        }
    }
}
