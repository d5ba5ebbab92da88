//! ContentEncodings: what was done to frames and CodecPrivate before they were stored (RFC 9559 §5.1.4.1.31).

use super::ebml::{Child, children};
use super::limits;
use super::schema::ids;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::bufread::ZlibDecoder;
use mist_core::format::ErrorKind;
use smallvec::SmallVec;
use std::io::Read;

/// ContentEncodingScope: frames.
const FRAMES: u64 = 1;
/// ContentEncodingScope: CodecPrivate.
const PRIVATE: u64 = 2;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Algorithm {
    Zlib,
    /// These bytes are at the start of every frame and were left out.
    Stripped(Bytes),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Encoding {
    order: u64,
    scope: u64,
    algorithm: Algorithm,
}

/// What has to be undone, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Encodings(SmallVec<[Encoding; 1]>);

impl Encodings {
    /// Reads the element.
    ///
    /// # Errors
    /// Encryption, an algorithm that isn't handled, or more encodings than the limit.
    pub(super) fn read(element: &Child<'_>) -> Result<Self, ErrorKind> {
        let mut list: SmallVec<[Encoding; 1]> = SmallVec::new();
        for c in children(element.data).flatten().filter(|c| c.id == ids::CONTENT_ENCODING) {
            if list.len() == limits::ENCODINGS {
                return Err(ErrorKind::Limit("ContentEncodings"));
            }
            list.push(Encoding::read(&c)?);
        }
        // What was done last is undone first.
        list.sort_by_key(|e| std::cmp::Reverse(e.order));
        Ok(Self(list))
    }

    /// Whether frames are stored as they are.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A frame as it was before.
    ///
    /// # Errors
    /// Data that can't be unpacked, or more of it than the limit.
    pub(super) fn frame(&self, data: Bytes) -> Result<Bytes, ErrorKind> {
        self.undo(data, FRAMES)
    }

    /// CodecPrivate as it was before.
    ///
    /// # Errors
    /// As [`Self::frame`].
    pub(super) fn private(&self, data: Bytes) -> Result<Bytes, ErrorKind> {
        self.undo(data, PRIVATE)
    }

    fn undo(&self, data: Bytes, scope: u64) -> Result<Bytes, ErrorKind> {
        self.0.iter().filter(|e| e.scope & scope != 0).try_fold(data, |d, e| e.algorithm.undo(&d))
    }
}

impl Encoding {
    fn read(element: &Child<'_>) -> Result<Self, ErrorKind> {
        let (mut order, mut scope, mut kind, mut algorithm) = (0, FRAMES, 0, 0);
        let mut settings = Bytes::new();
        for c in children(element.data).flatten() {
            match c.id {
                ids::CONTENT_ENCODING_ORDER => order = c.uint(),
                ids::CONTENT_ENCODING_SCOPE => scope = c.uint(),
                ids::CONTENT_ENCODING_TYPE => kind = c.uint(),
                ids::CONTENT_ENCRYPTION => kind = 1,
                ids::CONTENT_COMPRESSION => {
                    for c in children(c.data).flatten() {
                        match c.id {
                            ids::CONTENT_COMP_ALGO => algorithm = c.uint(),
                            ids::CONTENT_COMP_SETTINGS => settings = Bytes::copy_from_slice(c.data),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        if kind != 0 {
            return Err(ErrorKind::Encrypted("track"));
        }
        let algorithm = match algorithm {
            0 => Algorithm::Zlib,
            3 if settings.len() > limits::STRIPPED => return Err(ErrorKind::Limit("ContentCompSettings")),
            3 => Algorithm::Stripped(settings),
            _ => return Err(ErrorKind::Unsupported("ContentCompAlgo")),
        };
        Ok(Self { order, scope, algorithm })
    }
}

impl Algorithm {
    fn undo(&self, data: &Bytes) -> Result<Bytes, ErrorKind> {
        match self {
            Self::Stripped(start) => {
                let mut out = BytesMut::with_capacity(start.len().saturating_add(data.len()));
                out.put_slice(start);
                out.put_slice(data);
                Ok(out.freeze())
            }
            Self::Zlib => {
                let mut out = Vec::new();
                let limit = limits::INFLATED as u64 + 1;
                ZlibDecoder::new(&data[..])
                    .take(limit)
                    .read_to_end(&mut out)
                    .map_err(|_| ErrorKind::Malformed("zlib data"))?;
                if out.len() > limits::INFLATED {
                    return Err(ErrorKind::Limit("compressed frame"));
                }
                Ok(out.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write;

    /// An element with a size of 4 bytes.
    fn el(id: u32, data: &[u8]) -> Vec<u8> {
        let id = id.to_be_bytes();
        let mut d: Vec<u8> = id.iter().copied().skip_while(|b| *b == 0).collect();
        d.extend_from_slice(&(0x1000_0000 | data.len() as u32).to_be_bytes());
        d.extend_from_slice(data);
        d
    }

    fn one(order: u8, scope: u8, algorithm: u8, settings: &[u8]) -> Vec<u8> {
        let c = [el(ids::CONTENT_COMP_ALGO, &[algorithm]), el(ids::CONTENT_COMP_SETTINGS, settings)].concat();
        let parts = [
            el(ids::CONTENT_ENCODING_ORDER, &[order]),
            el(ids::CONTENT_ENCODING_SCOPE, &[scope]),
            el(ids::CONTENT_COMPRESSION, &c),
        ];
        el(ids::CONTENT_ENCODING, &parts.concat())
    }

    fn read(data: &[u8]) -> Result<Encodings, ErrorKind> {
        Encodings::read(&Child { id: ids::CONTENT_ENCODINGS, at: 0, head: 0, data })
    }

    fn deflated(data: &[u8]) -> Bytes {
        let mut z = ZlibEncoder::new(Vec::new(), Compression::best());
        z.write_all(data).unwrap();
        z.finish().unwrap().into()
    }

    #[test]
    fn undone_in_the_reverse_order() {
        // Stripped first, then compressed.
        let e = read(&[one(0, 1, 3, b"ab"), one(1, 3, 0, &[])].concat()).unwrap();
        assert_eq!(e.frame(deflated(b"cd")).unwrap(), "abcd");
        assert_eq!(e.private(deflated(b"cd")).unwrap(), "cd");
        assert_eq!(e.frame(Bytes::from_static(b"no zlib")), Err(ErrorKind::Malformed("zlib data")));
    }

    #[test]
    fn limits_hold() {
        let e = read(&one(0, 1, 0, &[])).unwrap();
        assert!(e.frame(deflated(&vec![0; limits::INFLATED])).is_ok());
        let bomb = deflated(&vec![0; limits::INFLATED + 1]);
        assert_eq!(e.frame(bomb), Err(ErrorKind::Limit("compressed frame")));
        let many: Vec<u8> = (0..=limits::ENCODINGS as u8).flat_map(|i| one(i, 1, 0, &[])).collect();
        assert_eq!(read(&many), Err(ErrorKind::Limit("ContentEncodings")));
        assert!(read(&one(0, 1, 3, &vec![0; limits::STRIPPED + 1])).is_err());
        assert!(read(&one(0, 1, 2, &[])).is_err(), "LZO");
        let encrypted = el(ids::CONTENT_ENCODING, &el(ids::CONTENT_ENCRYPTION, &[]));
        assert_eq!(read(&encrypted), Err(ErrorKind::Encrypted("track")));
    }
}
