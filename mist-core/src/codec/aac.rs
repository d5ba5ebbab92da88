//! AAC: AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2) and ADTS (§1.A.3.2, ISO/IEC 13818-7 §6.2).
//!
//! Not handled: scalable and error-resilient configurations beyond their rate and channels, USAC's own
//! configuration. LATM is in [`super::latm`].

use super::CodecError;
use super::limits::MAX_RATE;
use crate::bits::{BitReader, BitWriter};
use crate::media::Params;
use crate::time::Duration;
use bytes::Bytes;
use smallvec::SmallVec;

/// Sample rates by index (table 1.18).
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

/// Audio object types (table 1.17) that this module names.
pub mod object {
    /// AAC Main.
    pub const MAIN: u8 = 1;
    /// AAC Low Complexity.
    pub const LC: u8 = 2;
    /// Spectral band replication: HE-AAC.
    pub const SBR: u8 = 5;
    /// Error-resilient AAC Low Delay.
    pub const ER_LD: u8 = 23;
    /// Parametric stereo: HE-AAC v2.
    pub const PS: u8 = 29;
    /// MPEG-1/2 layer III in MPEG-4.
    pub const LAYER3: u8 = 34;
    /// Enhanced Low Delay.
    pub const ER_ELD: u8 = 39;
    /// Extended HE-AAC.
    pub const USAC: u8 = 42;
}

/// The index of a sample rate in the table of ISO/IEC 14496-3, where it is there.
pub fn rate_index(rate: u32) -> Option<u8> {
    RATES.iter().position(|&r| r == rate).map(|i| i as u8)
}

/// Channels of a channel configuration (table 1.19); 0 for configuration 0 and reserved ones.
pub const fn config_channels(config: u8) -> u16 {
    match config {
        1..=6 => config as u16,
        7 | 12 | 14 => 8,
        11 => 7,
        13 => 24,
        _ => 0,
    }
}

/// How a configuration says that there is spectral band replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalling {
    /// It doesn't; a decoder may still find it in the payload.
    Implicit,
    /// Object type 5 or 29 in front, with the core's type behind: decoders without SBR refuse it.
    Hierarchical,
    /// As an extension behind the core's configuration: decoders without SBR ignore it.
    Compatible,
}

/// One group of channel elements in a [`Pce`]: whether it is a pair, and its tag.
pub type Elements = SmallVec<[(bool, u8); 4]>;

/// Program configuration element (§4.5.1.2): which channels there are where no configuration number fits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pce {
    /// element_instance_tag.
    pub tag: u8,
    /// Object type minus one.
    pub object_type: u8,
    /// Index of the sample rate.
    pub rate_index: u8,
    /// Front channel elements.
    pub front: Elements,
    /// Side channel elements.
    pub side: Elements,
    /// Back channel elements.
    pub back: Elements,
    /// Tags of low-frequency elements.
    pub lfe: SmallVec<[u8; 3]>,
    /// Tags of associated data elements.
    pub data: SmallVec<[u8; 4]>,
    /// Coupling channel elements: independently switched, and tag.
    pub coupling: Elements,
    mixdown: [Option<u8>; 3],
}

impl Pce {
    fn read(r: &mut BitReader<'_>) -> Result<Self, CodecError> {
        let mut p = Self {
            tag: r.bits(4)? as u8,
            object_type: r.bits(2)? as u8,
            rate_index: r.bits(4)? as u8,
            ..Self::default()
        };
        let counts = [r.bits(4)?, r.bits(4)?, r.bits(4)?, r.bits(2)?, r.bits(3)?, r.bits(4)?];
        let [front, side, back, lfe, data, coupling] = counts;
        for (m, n) in p.mixdown.iter_mut().zip([4, 4, 3]) {
            if r.flag()? {
                *m = Some(r.bits(n)? as u8);
            }
        }
        for (list, n) in [(&mut p.front, front), (&mut p.side, side), (&mut p.back, back)] {
            for _ in 0..n {
                list.push((r.flag()?, r.bits(4)? as u8));
            }
        }
        for _ in 0..lfe {
            p.lfe.push(r.bits(4)? as u8);
        }
        for _ in 0..data {
            p.data.push(r.bits(4)? as u8);
        }
        for _ in 0..coupling {
            p.coupling.push((r.flag()?, r.bits(4)? as u8));
        }
        r.align();
        let comment = r.byte()?;
        r.skip(usize::from(comment) * 8)?;
        Ok(p)
    }

    /// Without the comment.
    fn write(&self, w: &mut BitWriter) {
        w.bits(self.tag.into(), 4);
        w.bits(self.object_type.into(), 2);
        w.bits(self.rate_index.into(), 4);
        let lists = [&self.front, &self.side, &self.back];
        for l in lists {
            w.bits(l.len() as u64, 4);
        }
        w.bits(self.lfe.len() as u64, 2);
        w.bits(self.data.len() as u64, 3);
        w.bits(self.coupling.len() as u64, 4);
        for (m, n) in self.mixdown.iter().zip([4, 4, 3]) {
            w.flag(m.is_some());
            if let Some(v) = m {
                w.bits((*v).into(), n);
            }
        }
        let pairs = |w: &mut BitWriter, l: &Elements| {
            for &(pair, tag) in l {
                w.flag(pair);
                w.bits(tag.into(), 4);
            }
        };
        for l in lists {
            pairs(w, l);
        }
        for &tag in self.lfe.iter().chain(&self.data) {
            w.bits(tag.into(), 4);
        }
        pairs(w, &self.coupling);
        let fill = w.len().next_multiple_of(8) - w.len();
        w.bits(0, fill as u32);
        w.bits(0, 8);
    }

    /// Output channels.
    pub fn channels(&self) -> u16 {
        let main = [&self.front, &self.side, &self.back].into_iter().flatten();
        main.map(|e| if e.0 { 2 } else { 1 }).sum::<u16>() + self.lfe.len() as u16
    }
}

/// AudioSpecificConfig.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asc {
    /// Audio object type of the core: 2 is AAC-LC. Never 5 or 29; see `sbr` and `ps`.
    pub object_type: u8,
    /// Sample rate of the core in Hz: the one that frames are counted with.
    pub rate: u32,
    /// Channel configuration; 0 says that `pce` (or the payload) tells.
    pub channel_config: u8,
    /// Samples of a frame at `rate`: 1024 or 960, 512 or 480 for low delay.
    pub frame_samples: u32,
    /// How spectral band replication is said to be there.
    pub signalling: Signalling,
    /// Spectral band replication is there: the sample rate of the output.
    pub sbr: Option<u32>,
    /// Parametric stereo is there.
    pub ps: bool,
    /// Channels for configuration 0.
    pub pce: Option<Pce>,
}

fn read_object(r: &mut BitReader<'_>) -> Result<u8, CodecError> {
    Ok(match r.bits(5)? as u8 {
        31 => 32 + r.bits(6)? as u8,
        t => t,
    })
}

fn read_rate(r: &mut BitReader<'_>) -> Result<u32, CodecError> {
    let rate = match r.bits(4)? {
        15 => r.bits(24)?,
        i => *RATES.get(i as usize).ok_or(CodecError::malformed("sample rate index"))?,
    };
    match rate {
        0 => Err(CodecError::malformed("sample rate")),
        1..=MAX_RATE => Ok(rate),
        _ => Err(CodecError::limit("sample rate")),
    }
}

fn write_rate(w: &mut BitWriter, rate: u32) {
    if let Some(i) = rate_index(rate) {
        w.bits(i.into(), 4);
    } else {
        w.bits(15, 4);
        w.bits(rate.into(), 24);
    }
}

impl Asc {
    /// AAC-LC or another type without extensions, with frames of 1024 samples.
    pub const fn new(object_type: u8, rate: u32, channel_config: u8) -> Self {
        Self {
            object_type,
            rate,
            channel_config,
            frame_samples: 1024,
            signalling: Signalling::Implicit,
            sbr: None,
            ps: false,
            pce: None,
        }
    }

    /// Parses an AudioSpecificConfig. Bytes after it are ignored.
    ///
    /// # Errors
    /// It ends early, or has a reserved sample rate.
    pub fn parse(data: &[u8]) -> Result<Self, CodecError> {
        Self::read(&mut BitReader::new(data), true)
    }

    /// Reads one at the start of `r`; `whole` says that all that `r` has belongs to it, so that an extension may
    /// follow.
    pub(super) fn read(r: &mut BitReader<'_>, whole: bool) -> Result<Self, CodecError> {
        let mut asc = Self::new(read_object(r)?, read_rate(r)?, r.bits(4)? as u8);
        if matches!(asc.object_type, object::SBR | object::PS) {
            asc.ps = asc.object_type == object::PS;
            asc.signalling = Signalling::Hierarchical;
            asc.sbr = Some(read_rate(r)?);
            asc.object_type = read_object(r)?;
        }
        match asc.object_type {
            1..=4 | 6 | 7 | 17 | 19..=23 => asc.read_general(r)?,
            object::ER_ELD => asc.frame_samples = if r.flag()? { 480 } else { 512 },
            object::USAC => asc.frame_samples = 1024,
            0 => return Err(CodecError::malformed("audio object type")),
            // Rate and channels hold for the others too; what follows is their own.
            _ => return Ok(asc),
        }
        if whole && asc.sbr.is_none() && r.left() >= 16 {
            // What looks like an extension may be filling; trouble in it is no error.
            let before = asc.clone();
            if asc.read_extension(r).is_err() {
                asc = before;
            }
        }
        Ok(asc)
    }

    fn read_general(&mut self, r: &mut BitReader<'_>) -> Result<(), CodecError> {
        let short = r.flag()?;
        self.frame_samples = match (self.object_type == object::ER_LD, short) {
            (false, false) => 1024,
            (false, true) => 960,
            (true, false) => 512,
            (true, true) => 480,
        };
        if r.flag()? {
            r.skip(14)?;
        }
        let extension = r.flag()?;
        if self.channel_config == 0 {
            self.pce = Some(Pce::read(r)?);
        }
        if matches!(self.object_type, 6 | 20) {
            r.skip(3)?;
        }
        if extension {
            match self.object_type {
                22 => r.skip(16)?,
                17 | 19 | 20 | 23 => r.skip(3)?,
                _ => {}
            }
            r.skip(1)?;
        }
        if self.object_type >= 17 {
            let protection = r.bits(2)?;
            if protection == 3 {
                r.skip(1)?;
            }
        }
        Ok(())
    }

    fn read_extension(&mut self, r: &mut BitReader<'_>) -> Result<(), CodecError> {
        if r.bits(11)? != 0x2b7 || read_object(r)? != object::SBR || !r.flag()? {
            return Ok(());
        }
        self.sbr = Some(read_rate(r)?);
        self.signalling = Signalling::Compatible;
        if r.left() >= 12 && r.bits(11)? == 0x548 {
            self.ps = r.flag()?;
        }
        Ok(())
    }

    /// Writes it. Only for the object types with a GASpecificConfig without error protection: 1 to 4.
    ///
    /// # Errors
    /// Another object type, or frames that aren't of 1024 or 960 samples.
    pub fn build(&self) -> Result<Bytes, CodecError> {
        let short = match self.frame_samples {
            1024 => false,
            960 => true,
            _ => return Err(CodecError::unsupported("AAC frame length")),
        };
        if !matches!(self.object_type, 1..=4) {
            return Err(CodecError::unsupported("AAC object type"));
        }
        let mut w = BitWriter::new();
        let sbr = self.sbr.map(|rate| (rate, self.signalling));
        if let Some((rate, Signalling::Hierarchical)) = sbr {
            w.bits(if self.ps { object::PS } else { object::SBR }.into(), 5);
            write_rate(&mut w, self.rate);
            w.bits(self.channel_config.into(), 4);
            write_rate(&mut w, rate);
            w.bits(self.object_type.into(), 5);
        } else {
            w.bits(self.object_type.into(), 5);
            write_rate(&mut w, self.rate);
            w.bits(self.channel_config.into(), 4);
        }
        w.flag(short);
        w.bits(0, 2);
        if self.channel_config == 0 {
            self.pce.as_ref().ok_or(CodecError::malformed("no program configuration"))?.write(&mut w);
        }
        if let Some((rate, Signalling::Compatible)) = sbr {
            w.bits(0x2b7, 11);
            w.bits(object::SBR.into(), 5);
            w.flag(true);
            write_rate(&mut w, rate);
            if self.ps {
                w.bits(0x548, 11);
                w.flag(true);
            }
        }
        Ok(w.finish())
    }

    /// Channels of the output; 0 where only the payload tells.
    pub fn channels(&self) -> u16 {
        match (&self.pce, config_channels(self.channel_config)) {
            (Some(p), _) => p.channels(),
            (None, 1) if self.ps => 2,
            (None, n) => n,
        }
    }

    /// Sample rate of the output: twice the core's where spectral band replication says so.
    pub fn output_rate(&self) -> u32 {
        self.sbr.unwrap_or(self.rate)
    }

    /// The object type that codec strings name: 29 for HE-AAC v2, 5 for HE-AAC, else the core's.
    pub fn shown_object_type(&self) -> u8 {
        match (self.ps, self.sbr) {
            (true, _) => object::PS,
            (false, Some(_)) => object::SBR,
            _ => self.object_type,
        }
    }

    /// How long a frame lasts.
    pub fn frame_duration(&self) -> Duration {
        Duration::from_rate(self.frame_samples.into(), self.rate)
    }

    /// What players need to know.
    pub fn params(&self) -> Params {
        Params::Audio { rate: self.output_rate(), channels: self.channels(), bits: 16 }
    }
}

/// Header of an ADTS frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Adts {
    /// MPEG-2 rather than MPEG-4.
    pub mpeg2: bool,
    /// Audio object type: 1 Main, 2 LC, 3 SSR, 4 LTP.
    pub object_type: u8,
    /// Sample rate in Hz.
    pub rate: u32,
    /// Channel configuration; 0 says that the payload tells.
    pub channel_config: u8,
    /// Bytes of the header with its CRC: the payload starts there.
    pub header_len: usize,
    /// Bytes of the whole frame.
    pub frame_len: usize,
    /// Raw data blocks of 1024 samples in the frame: 1 to 4.
    pub blocks: u8,
}

impl Adts {
    /// Bytes that [`Self::parse`] needs.
    pub const MIN: usize = 7;

    /// Parses the header at the start of `data`; its CRC isn't checked.
    ///
    /// # Errors
    /// No sync word, fewer than 7 bytes, a reserved sample rate or a length that can't be.
    pub fn parse(data: &[u8]) -> Result<Self, CodecError> {
        let Some(head) = data.first_chunk::<7>() else { return Err(CodecError::truncated("ADTS header")) };
        let r = &mut BitReader::new(head);
        if r.bits(12)? != 0xfff {
            return Err(CodecError::malformed("ADTS sync word"));
        }
        let mpeg2 = r.flag()?;
        if r.bits(2)? != 0 {
            return Err(CodecError::malformed("ADTS layer"));
        }
        let crc = !r.flag()?;
        let object_type = r.bits(2)? as u8 + 1;
        let rate = *RATES.get(r.bits(4)? as usize).ok_or(CodecError::malformed("sample rate index"))?;
        r.skip(1)?;
        let channel_config = r.bits(3)? as u8;
        r.skip(4)?;
        let frame_len = r.bits(13)? as usize;
        r.skip(11)?;
        let blocks = r.bits(2)? as u8 + 1;
        // With several blocks and a CRC the header also has their positions.
        let header_len = if crc { 9 + 2 * (usize::from(blocks) - 1) } else { 7 };
        if frame_len < header_len {
            return Err(CodecError::malformed("ADTS frame length"));
        }
        Ok(Self { mpeg2, object_type, rate, channel_config, header_len, frame_len, blocks })
    }

    /// The position of the first frame in `data`: a header with another one like it behind it, or that reaches to
    /// the end or beyond. `None` if there is none.
    pub fn find(data: &[u8]) -> Option<usize> {
        let mut from = 0;
        loop {
            let i = from + memchr::memchr(0xff, data.get(from..)?)?;
            let at = data.get(i..)?;
            if let Ok(h) = Self::parse(at) {
                match at.get(h.frame_len..) {
                    None => return Some(i),
                    Some(next) if next.len() < Self::MIN => return Some(i),
                    Some(next) if Self::parse(next).is_ok_and(|n| n.like(&h)) => return Some(i),
                    Some(_) => {}
                }
            }
            from = i + 1;
        }
    }

    /// Whether two headers describe the same stream.
    pub const fn like(&self, o: &Self) -> bool {
        self.object_type == o.object_type && self.rate == o.rate && self.channel_config == o.channel_config
    }

    /// The configuration that the header describes. `payload` is the frame behind the header: for channel
    /// configuration 0 it tells the channels, if it begins with a program configuration.
    pub fn asc(&self, payload: &[u8]) -> Asc {
        let mut asc = Asc::new(self.object_type, self.rate, self.channel_config);
        if self.channel_config == 0 {
            let mut r = BitReader::new(payload);
            if r.bits(3) == Ok(5) {
                asc.pce = Pce::read(&mut r).ok();
            }
        }
        asc
    }

    /// Samples of the frame at `rate`.
    pub const fn samples(&self) -> u32 {
        self.blocks as u32 * 1024
    }

    /// The 7-byte header, without CRC, for a raw frame of `payload_len` bytes.
    ///
    /// # Errors
    /// ADTS can't express it: object types above 4, sample rates outside the table, configurations above 7, frames
    /// over 8191 bytes with header, frames that aren't of 1024 samples.
    pub fn build(asc: &Asc, payload_len: usize) -> Result<[u8; 7], CodecError> {
        let index = rate_index(asc.rate).ok_or(CodecError::unsupported("sample rate in ADTS"))?;
        if !matches!(asc.object_type, 1..=4) || asc.channel_config > 7 || asc.frame_samples != 1024 {
            return Err(CodecError::unsupported("AAC object type, frame or channels in ADTS"));
        }
        let Some(len @ ..=0x1fff) = payload_len.checked_add(7) else {
            return Err(CodecError::limit("ADTS frame length"));
        };
        let c = asc.channel_config;
        Ok([
            0xff,
            0xf1,
            ((asc.object_type - 1) << 6) | (index << 2) | (c >> 2),
            ((c & 3) << 6) | (len >> 11) as u8,
            (len >> 3) as u8,
            ((len & 7) << 5) as u8 | 0x1f,
            0xfc,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn real_configurations() {
        // (bytes, object, output rate, channels, frame duration in core samples and rate)
        let cases = [
            (&[0x12, 0x10][..], 2, 44_100, 2, 1024, 44_100),
            (&[0x11, 0x90, 0x56, 0xe5, 0x00], 2, 48_000, 2, 1024, 48_000),
            (&[0x13, 0x10, 0x56, 0xe5, 0x98], 5, 48_000, 2, 1024, 24_000),
            (&[0x2b, 0x11, 0x88, 0x00], 5, 48_000, 2, 1024, 24_000),
            (&[0xeb, 0x09, 0x88, 0x00], 29, 48_000, 2, 1024, 24_000),
            (&[0x11, 0xb0], 2, 48_000, 6, 1024, 48_000),
            (&[0x17, 0x80, 0x2a, 0xf8, 0x10], 2, 22_000, 2, 1024, 22_000),
            (&[0x12, 0x14], 2, 44_100, 2, 960, 44_100),
        ];
        for (b, object, rate, channels, samples, core) in cases {
            let a = Asc::parse(b).unwrap();
            assert_eq!(
                (a.shown_object_type(), a.output_rate(), a.channels()),
                (object, rate, channels),
                "{b:02x?}"
            );
            assert_eq!(a.frame_duration(), Duration::from_rate(samples, core));
            assert_eq!(Asc::parse(&a.build().unwrap()).unwrap(), a, "{b:02x?}");
            for n in 0..b.len().min(2) {
                assert!(Asc::parse(&b[..n]).is_err());
            }
        }
    }

    #[test]
    fn sample_rates_have_a_limit() {
        for (rate, want) in [(MAX_RATE, None), (MAX_RATE + 1, Some("limit")), (0, Some("malformed"))] {
            let mut w = BitWriter::new();
            for (v, n) in [(2, 5), (15, 4), (rate.into(), 24), (2, 4), (0, 3)] {
                w.bits(v, n);
            }
            let got = Asc::parse(&w.finish()).err().map(|e| e.kind.to_string());
            assert_eq!(got.as_deref(), want);
        }
        assert!(Asc::parse(&[0x16, 0x90]).is_err(), "reserved index 13");
    }

    #[test]
    fn program_configuration_counts_the_channels() {
        let mut asc = Asc::new(2, 48_000, 0);
        let pce = Pce {
            rate_index: 3,
            object_type: 1,
            front: SmallVec::from_slice(&[(false, 0), (true, 0)]),
            back: SmallVec::from_slice(&[(true, 1), (false, 1)]),
            lfe: SmallVec::from_slice(&[0]),
            mixdown: [Some(3), None, Some(5)],
            ..Pce::default()
        };
        asc.pce = Some(pce.clone());
        let b = asc.build().unwrap();
        let back = Asc::parse(&b).unwrap();
        assert_eq!((back.channels(), &back), (7, &asc));
        for n in 0..b.len() {
            assert!(Asc::parse(&b[..n]).is_err());
        }
        let mut w = BitWriter::new();
        w.bits(5, 3);
        pce.write(&mut w);
        let h = Adts::parse(&Adts::build(&asc, 100).unwrap()).unwrap();
        assert_eq!(h.asc(&w.finish()), asc);
    }

    #[test]
    fn adts_round_trips_and_refuses_what_it_cannot_say() {
        let asc = Asc::new(2, 44_100, 2);
        let head = Adts::build(&asc, 364).unwrap();
        assert_eq!(head, [0xff, 0xf1, 0x50, 0x80, 0x2e, 0x7f, 0xfc]);
        let h = Adts::parse(&head).unwrap();
        assert_eq!((h.frame_len, h.header_len, h.samples(), h.asc(&[])), (371, 7, 1024, asc.clone()));
        assert!(Adts::build(&asc, 8185).is_err());
        assert!(Adts::build(&Asc::new(2, 22_000, 2), 1).is_err());
        assert!(Adts::build(&Asc::new(39, 44_100, 2), 1).is_err());
        let mut crc = head;
        crc[1] = 0xf0;
        assert_eq!(Adts::parse(&crc).unwrap().header_len, 9);
        let mut zero = head;
        (zero[3], zero[4], zero[5]) = (0x80, 0, 0x1f);
        assert!(Adts::parse(&zero).is_err(), "length 0 makes no progress");
        for n in 0..7 {
            assert!(Adts::parse(&head[..n]).is_err());
        }
    }

    #[test]
    fn finds_the_first_frame_behind_rubbish() {
        let asc = Asc::new(2, 44_100, 2);
        let mut d = vec![0xff, 0xf1, 0x50, 0x80, 0x01, 0x7f, 0xfc, 1, 2];
        let at = d.len();
        for _ in 0..3 {
            d.extend(Adts::build(&asc, 20).unwrap());
            d.extend([7; 20]);
        }
        assert_eq!(Adts::find(&d), Some(at));
        assert_eq!(Adts::find(&[0xff; 50]), None);
    }

    proptest! {
        #[test]
        fn any_bytes(v in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(a) = Asc::parse(&v) {
                a.channels();
                a.frame_duration();
                if let Ok(b) = a.build() {
                    let back = Asc::parse(&b).unwrap();
                    prop_assert_eq!(a.output_rate(), back.output_rate());
                    prop_assert_eq!(a.channels(), back.channels());
                }
            }
            let _ = Adts::parse(&v);
            Adts::find(&v);
        }
    }
}
