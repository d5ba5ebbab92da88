//! Problems of MPEG-TS.

use super::{Seen, Want, read, want};

/// A change of one packet of a transport stream.
type Change<'a> = &'a dyn Fn(usize, &mut Vec<u8>);

pub(crate) fn transport_streams(seen: &mut Seen) {
    let clip = read("tests/media/h264-ac3.ts");
    let pid = |p: &[u8]| u16::from(p[1] & 0x1F) << 8 | u16::from(p[2]);
    let change = |f: Change<'_>| -> Vec<u8> {
        let each = |(i, p): (usize, &[u8])| {
            let mut p = p.to_vec();
            f(i, &mut p);
            p
        };
        clip.chunks(188).enumerate().flat_map(each).collect()
    };
    let pmt = clip.chunks(188).map(pid).find(|p| *p >= 0x1000).unwrap();
    let pcr_at = |p: &[u8]| p[3] & 0x20 != 0 && p[4] > 6 && p[5] & 0x10 != 0;
    let base = |p: &[u8]| u64::from_be_bytes([0, 0, 0, p[6], p[7], p[8], p[9], p[10]]) >> 7;
    let step = |p: &mut [u8], by: i64| {
        let v = (base(p).wrapping_add_signed(by) << 7 | u64::from(p[10] & 0x7F)).to_be_bytes();
        p[6..11].copy_from_slice(&v[3..]);
    };
    let nth = |n: usize| clip.chunks(188).enumerate().filter(|(_, p)| pid(p) == 256).nth(n).unwrap().0;
    let lost = nth(40);
    let cases: &[(&str, Change<'_>, Want)] = &[
        ("a sync byte is gone", &|i, p| p[0] ^= u8::from(i == 20), want("ts-sync").at(20 * 188)),
        (
            "a packet is lost",
            &|i, p| {
                if i == lost {
                    p.clear();
                }
            },
            want("continuity"),
        ),
        (
            "a packet is damaged",
            &|i, p| p[1] |= if i == 20 { 0x80 } else { 0 },
            want("ts-damaged").at(20 * 188),
        ),
        (
            "no PAT",
            &|_, p| {
                if pid(p) == 0 {
                    p.clear();
                }
            },
            want("no-pat"),
        ),
        (
            "no PMT",
            &|_, p| {
                if pid(p) == pmt {
                    p.clear();
                }
            },
            want("no-pmt"),
        ),
        (
            "a rare PAT",
            &|i, p| {
                if pid(p) == 0 && (30..300).contains(&i) {
                    p.clear();
                }
            },
            want("pat-interval"),
        ),
        (
            "a rare PMT",
            &|i, p| {
                if pid(p) == pmt && (30..300).contains(&i) {
                    p.clear();
                }
            },
            want("pmt-interval"),
        ),
        (
            "no PCR",
            &|_, p| {
                if pcr_at(p) {
                    p[5] &= !0x10;
                }
            },
            want("no-pcr"),
        ),
        (
            "a rare PCR",
            &|i, p| {
                if pcr_at(p) && i % 3 > 0 {
                    p[5] &= !0x10;
                }
            },
            want("pcr-interval"),
        ),
        (
            "a PCR that jumps",
            &|i, p| {
                if pcr_at(p) && i > 250 {
                    step(p, 900_000);
                }
            },
            want("pcr-jump"),
        ),
        (
            "a late clock",
            &|_, p| {
                if pcr_at(p) {
                    step(p, 180_000);
                }
            },
            want("t-std-underflow"),
        ),
        (
            "an early clock",
            &|_, p| {
                if pcr_at(p) {
                    step(p, -80_000);
                }
            },
            want("t-std-overflow"),
        ),
        (
            "a PMT with a wrong checksum",
            &|_, p| {
                if pid(p) == pmt {
                    p[17] ^= 1;
                }
            },
            want("crc"),
        ),
    ];
    for (what, f, w) in cases {
        seen.input(what, &change(*f), &[*w]);
    }
    seen.input("a clock that wanders", &constant(60), &[want("pcr-jitter").at(600 * 188)]);
}

/// Null packets of constant rate with a PCR in every tenth, the given one of which is a microsecond off.
fn constant(wrong: u64) -> Vec<u8> {
    let mut out = read("tests/media/h264-ac3.ts");
    // Its PAT and PMT, whatever the order.
    let pid = |p: &[u8]| u16::from(p[1] & 0x1F) << 8 | u16::from(p[2]);
    let of = |want: &dyn Fn(u16) -> bool| out.chunks(188).find(|p| want(pid(p))).unwrap().to_vec();
    let tables = [of(&|p| p == 0), of(&|p| p >= 0x1000)];
    out.clear();
    for i in 0..4000u64 {
        let mut p = vec![0xFF; 188];
        p[..4].copy_from_slice(&[0x47, 0x1F, 0xFF, 0x10]);
        if i % 10 == 0 {
            let pcr = i * 27_000 + if i == wrong * 10 { 27 } else { 0 };
            let (base, extension) = (pcr / 300, pcr % 300);
            p[..6].copy_from_slice(&[0x47, 0x01, 0x00, 0x20, 183, 0x10]);
            let v = (base << 15 | 0x7E00 | extension).to_be_bytes();
            p[6..12].copy_from_slice(&v[2..]);
        } else if let Some(t) = tables.get((i % 100) as usize / 5).filter(|_| i % 5 == 1 && i % 100 < 10) {
            p.copy_from_slice(t);
        }
        out.extend_from_slice(&p);
    }
    out
}
