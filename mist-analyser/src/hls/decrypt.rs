//! Segments that are encrypted as a whole: AES-128 in CBC mode with PKCS#7 padding (RFC 8216 §4.3.2.4), and AES-256 in
//! CBC and CTR mode as packagers write it.

use super::List;
use super::fetch::fetch;
use crate::problem::{Problem, Sort};
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Aes256, Block};
use bytes::Bytes;
use mist_protocols::hls::parse::{Key, Method, resolve};
use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Keys that are kept: one is used for many segments.
const MAX_KEYS: usize = 16;
/// Bytes that are read of a key, whose length is to be told if it is wrong.
const MAX_KEY: usize = 64;
const BLOCK: usize = 16;

/// A key with its schedule.
enum Cipher {
    Aes128(Box<Aes128>),
    Aes256(Box<Aes256>),
}

impl Cipher {
    fn decrypt(&self, b: &mut Block) {
        match self {
            Self::Aes128(c) => c.decrypt_block(b),
            Self::Aes256(c) => c.decrypt_block(b),
        }
    }

    fn encrypt(&self, b: &mut Block) {
        match self {
            Self::Aes128(c) => c.encrypt_block(b),
            Self::Aes256(c) => c.encrypt_block(b),
        }
    }
}

/// Decrypts one segment as it comes.
pub(super) struct Decryptor {
    cipher: Cipher,
    counter_mode: bool,
    /// The block before, or the counter.
    chain: [u8; BLOCK],
    held: Vec<u8>,
}

fn xor(a: [u8; BLOCK], b: [u8; BLOCK]) -> [u8; BLOCK] {
    (u128::from_ne_bytes(a) ^ u128::from_ne_bytes(b)).to_ne_bytes()
}

impl Decryptor {
    /// `None` if the key isn't as long as the method wants it, or the method encrypts something else.
    fn new(method: &Method, key: &[u8], vector: [u8; BLOCK]) -> Option<Self> {
        let cipher = match method {
            Method::Aes128 => Cipher::Aes128(Box::new(Aes128::new_from_slice(key).ok()?)),
            Method::Aes256 | Method::Aes256Ctr => Cipher::Aes256(Box::new(Aes256::new_from_slice(key).ok()?)),
            _ => return None,
        };
        let counter_mode = *method == Method::Aes256Ctr;
        Some(Self { cipher, counter_mode, chain: vector, held: Vec::new() })
    }

    fn blocks(&mut self, n: usize) -> Bytes {
        let mut out = Vec::with_capacity(n * BLOCK);
        let (blocks, _) = self.held.as_chunks::<BLOCK>();
        for b in blocks.iter().take(n) {
            let mut block = Block::from(if self.counter_mode { self.chain } else { *b });
            if self.counter_mode {
                self.cipher.encrypt(&mut block);
                out.extend_from_slice(&xor(block.into(), *b));
                self.chain = u128::from_be_bytes(self.chain).wrapping_add(1).to_be_bytes();
            } else {
                self.cipher.decrypt(&mut block);
                out.extend_from_slice(&xor(block.into(), self.chain));
                self.chain = *b;
            }
        }
        self.held.drain(..n * BLOCK);
        out.into()
    }

    /// More of the segment; what can be decrypted by now.
    pub(super) fn push(&mut self, data: &[u8]) -> Bytes {
        self.held.extend_from_slice(data);
        // The last block has the padding.
        let n = if self.counter_mode { self.held.len() } else { self.held.len().saturating_sub(1) } / BLOCK;
        self.blocks(n)
    }

    /// The segment has ended: its rest, or what is wrong with that.
    pub(super) fn finish(mut self) -> Result<Bytes, &'static str> {
        if self.counter_mode {
            let len = self.held.len();
            self.held.resize(BLOCK, 0);
            return Ok(self.blocks(1).slice(..len));
        }
        if self.held.len() != BLOCK {
            return Err("its length is no multiple of 16");
        }
        let last = self.blocks(1);
        let padding = last.last().map_or(0, |p| usize::from(*p));
        let text = BLOCK.checked_sub(padding).filter(|n| *n < BLOCK);
        let fits = |n: &usize| last.iter().skip(*n).all(|b| usize::from(*b) == padding);
        text.filter(fits)
            .map(|n| last.slice(..n))
            .ok_or("its padding is wrong: the key or the data is another")
    }
}

/// Keys that were fetched.
#[derive(Default)]
pub(super) struct Keys {
    fetched: VecDeque<(String, Vec<u8>)>,
    /// URLs of keys of which it was said that they can't be used.
    reported: VecDeque<String>,
}

impl Keys {
    /// The key of a URL. One that can't be read now is asked for again with the next segment.
    fn get(&mut self, url: &str) -> Result<Vec<u8>, String> {
        if let Some((_, k)) = self.fetched.iter().find(|k| k.0 == url) {
            return Ok(k.clone());
        }
        let mut key = Vec::new();
        let done = fetch(url, None, &mut |b| {
            key.extend_from_slice(&b);
            Ok(if key.len() > MAX_KEY { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        done.map_err(|e: io::Error| e.to_string())?;
        if self.fetched.len() >= MAX_KEYS {
            self.fetched.pop_front();
        }
        self.fetched.push_back((url.to_owned(), key.clone()));
        Ok(key)
    }

    /// Whether it is the first time that the key of a URL can't be used.
    fn is_news(&mut self, url: &str) -> bool {
        let news = !self.reported.iter().any(|u| u == url);
        if news {
            if self.reported.len() >= MAX_KEYS {
                self.reported.pop_front();
            }
            self.reported.push_back(url.to_owned());
        }
        news
    }
}

/// How what is called `label` and has a media sequence number is decrypted: not at all with no keys. `Err` if it can't be;
/// what is wrong is added to `found`, each once.
pub(super) fn decryptor(
    l: &mut List,
    keys: &[Arc<Key>],
    number: u64,
    label: &str,
    found: &mut Vec<Problem>,
) -> Result<Option<Decryptor>, ()> {
    if keys.is_empty() {
        return Ok(None);
    }
    let whole = |m: &Method| matches!(m, Method::Aes128 | Method::Aes256 | Method::Aes256Ctr);
    let usable = keys.iter().find(|k| whole(&k.method) && k.format == "identity" && k.uri.is_some());
    let mut why = None;
    if let Some(k) = usable {
        let url = resolve(&l.url, k.uri.as_deref().unwrap_or_default());
        let key = l.keys.get(&url);
        let wrong = match &key {
            Ok(key) => match Decryptor::new(&k.method, key, k.vector(number)) {
                Some(d) => return Ok(Some(d)),
                None if key.len() > MAX_KEY => format!("its key is longer than {MAX_KEY} bytes"),
                None => format!("its key has {} bytes", key.len()),
            },
            Err(e) => format!("its key {} can't be read, {e}", k.uri.as_deref().unwrap_or_default()),
        };
        if l.keys.is_news(&url) {
            found.push(l.problem(Sort::HlsKey, &format!("{label}: {wrong}")));
        }
        why = Some(wrong);
    }
    if !std::mem::replace(&mut l.reported_encrypted, true) {
        let how: Vec<_> = keys.iter().map(|k| format!("{:?}", k.method)).collect();
        let why = why.map(|w| format!(", and {w}")).unwrap_or_default();
        let what = format!("{label} and others are encrypted with {}{why}", how.join(", "));
        found.push(l.problem(Sort::Encrypted, &what));
    }
    Err(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(s: &str) -> Vec<u8> {
        (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).unwrap()).collect()
    }

    fn run(method: &Method, key: &str, iv: &str, data: &[u8], step: usize) -> Result<Vec<u8>, &'static str> {
        let mut d = Decryptor::new(method, &hex(key), hex(iv).try_into().unwrap()).unwrap();
        let mut out = Vec::new();
        data.chunks(step).for_each(|c| out.extend_from_slice(&d.push(c)));
        out.extend_from_slice(&d.finish()?);
        Ok(out)
    }

    #[test]
    fn a_key_that_could_not_be_read_is_asked_for_again() {
        let path = std::env::temp_dir().join(format!("mist-analyser-{}-key", std::process::id()));
        let (mut keys, url) = (Keys::default(), path.to_str().unwrap());
        assert!(keys.get(url).is_err());
        std::fs::write(&path, [7; BLOCK]).unwrap();
        assert_eq!(keys.get(url).unwrap(), [7; BLOCK]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(keys.get(url).unwrap(), [7; BLOCK], "one that was read is kept");
        assert_eq!([keys.is_news(url), keys.is_news(url)], [true, false]);
    }

    #[test]
    fn examples_of_the_standard_in_any_pieces() {
        // NIST SP 800-38A F.2.1 and F.5.5; the padding of the first was encrypted with openssl.
        let key = "2b7e151628aed2a6abf7158809cf4f3c";
        let iv = "000102030405060708090a0b0c0d0e0f";
        let text = hex("6bc1bee22e409f96e93d7e117393172a");
        let mut data = hex("7649abac8119b246cee98e9b12e9197d");
        data.extend(hex("8964e0b149c10b7b682e6e39aaeb731c"));
        for step in [1, 5, 16, 32] {
            assert_eq!(run(&Method::Aes128, key, iv, &data, step).unwrap(), text, "{step}");
        }
        assert!(run(&Method::Aes128, key, iv, &data[..31], 31).unwrap_err().contains("multiple"));
        assert!(run(&Method::Aes128, key, iv, &data[..16], 16).unwrap_err().contains("padding"));
        assert!(run(&Method::Aes128, key, iv, b"", 1).is_err());
        let key = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
        let iv = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
        let data = hex("601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990");
        let text = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac");
        for step in [1, 5, 16, 32] {
            assert_eq!(run(&Method::Aes256Ctr, key, iv, &data, step).unwrap(), text, "{step}");
        }
        assert!(Decryptor::new(&Method::Aes128, b"short", [0; 16]).is_none());
        assert!(Decryptor::new(&Method::SampleAes, &[0; 16], [0; 16]).is_none());
    }
}
