//! Logging in (manual 4.1.1 and 4.1.2): who may use the API.
//!
//! The scheme of the clients is fixed: they answer a challenge with `MD5(MD5(password) + challenge)`, often on a
//! new connection, and some send one answer with every request. So a challenge can't be used up. It is an HMAC of
//! a secret made at start, the client's address and a ten-minute window; the window before is accepted as well.
//! Nobody else can foresee it, and an overheard answer is useless soon and elsewhere.
//!
//! Attempts are limited by address and by user. Whoever is over the limit is answered like a wrong password.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq;

/// Bounds of logging in.
pub mod limits {
    /// How long a challenge is given out, in seconds; it is accepted for as long again.
    pub const WINDOW_SECS: u64 = 600;
    /// Wrong answers that an address may give in [`ATTEMPT_SECS`].
    pub const PER_ADDRESS: u32 = 10;
    /// Wrong answers that all addresses together may give for one user in [`ATTEMPT_SECS`].
    pub const PER_USER: u32 = 100;
    /// How long wrong answers count, in seconds.
    pub const ATTEMPT_SECS: u64 = 60;
    /// How long an address that was right once isn't held up by what others do, in seconds.
    pub const GOOD_SECS: u64 = 86_400;
    /// Addresses and users that are remembered.
    pub const REMEMBERED: usize = 10_000;
    /// Longest user name that is looked at, in bytes.
    pub const USER_BYTES: usize = 256;
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Logged in.
    Yes,
    /// Wrong user, password, or a challenge that is too old.
    No,
    /// Not even looked at: too many wrong answers before.
    Limited,
}

/// Challenges and the counts of wrong answers.
pub struct Auth {
    secret: [u8; 32],
    addresses: Mutex<Counts<IpAddr>>,
    users: Mutex<Counts<[u8; 16]>>,
    good: Mutex<Counts<IpAddr>>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

/// What the configuration keeps of a password: its MD5. The clients' scheme needs it, and it is as good as the
/// password for logging in; so it is never shown.
pub fn password_hash(password: &str) -> String {
    md5_hex(&[password.as_bytes()])
}

fn md5_hex(parts: &[&[u8]]) -> String {
    let mut h = Md5::new();
    for p in parts {
        h.update(p);
    }
    hex(&h.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

impl Auth {
    /// With a secret that is new at every start.
    pub fn new(secret: [u8; 32]) -> Self {
        Self {
            secret,
            addresses: Mutex::new(Counts::new(limits::ATTEMPT_SECS)),
            users: Mutex::new(Counts::new(limits::ATTEMPT_SECS)),
            good: Mutex::new(Counts::new(limits::GOOD_SECS)),
        }
    }

    /// The challenge for an address at a time: 32 hexadecimal digits.
    pub fn challenge(&self, ip: IpAddr, unix: u64) -> String {
        self.challenge_of(ip, unix / limits::WINDOW_SECS)
    }

    fn challenge_of(&self, ip: IpAddr, window: u64) -> String {
        // HMAC takes keys of every length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return String::new() };
        match ip.to_canonical() {
            IpAddr::V4(a) => mac.update(&a.octets()),
            IpAddr::V6(a) => mac.update(&a.octets()),
        }
        mac.update(&window.to_be_bytes());
        let all = mac.finalize().into_bytes();
        hex(all.get(..16).unwrap_or_default())
    }

    /// Checks an answer to the challenge of now or of the window before. `hash` is what the configuration keeps
    /// for `user`, if there is such a user.
    pub fn check(&self, user: &str, hash: Option<&str>, answer: &str, ip: IpAddr, unix: u64) -> Verdict {
        let (place, who) = (network(ip), user_key(user));
        let known_good = lock(&self.good).count(&place, unix) > 0;
        if lock(&self.addresses).count(&place, unix) >= limits::PER_ADDRESS
            || (!known_good && lock(&self.users).count(&who, unix) >= limits::PER_USER)
        {
            return Verdict::Limited;
        }
        // The same work for users that there are and aren't: the time says nothing.
        let stored = hash.unwrap_or("00000000000000000000000000000000").to_ascii_lowercase();
        let answer = answer.to_ascii_lowercase();
        let window = unix / limits::WINDOW_SECS;
        let mut right = subtle::Choice::from(0);
        for w in [window, window.wrapping_sub(1)] {
            let want = md5_hex(&[stored.as_bytes(), self.challenge_of(ip, w).as_bytes()]);
            right |= want.as_bytes().ct_eq(answer.as_bytes());
        }
        if bool::from(right) && hash.is_some() && user.len() <= limits::USER_BYTES {
            lock(&self.good).add(place, unix);
            return Verdict::Yes;
        }
        lock(&self.addresses).add(place, unix);
        lock(&self.users).add(who, unix);
        Verdict::No
    }
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An address as one party: of IPv6 the /64 that one customer has.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(a) => IpAddr::V4(a),
        IpAddr::V6(a) => {
            let bits = a.to_bits() >> 64 << 64;
            // Loopback and the like stay what they are.
            if bits == 0 { IpAddr::V6(a) } else { IpAddr::V6(bits.into()) }
        }
    }
}

/// Users are remembered by a digest, so that long names take no memory.
fn user_key(user: &str) -> [u8; 16] {
    Md5::digest(user.as_bytes()).into()
}

/// Counts within a time, bounded in number.
#[derive(Debug)]
struct Counts<K> {
    secs: u64,
    all: HashMap<K, (u64, u32)>,
}

impl<K: Eq + Hash + Clone> Counts<K> {
    fn new(secs: u64) -> Self {
        Self { secs, all: HashMap::new() }
    }

    fn live(&self, since: u64, unix: u64) -> bool {
        unix.saturating_sub(since) < self.secs
    }

    fn count(&self, key: &K, unix: u64) -> u32 {
        match self.all.get(key) {
            Some((since, n)) if self.live(*since, unix) => *n,
            _ => 0,
        }
    }

    fn add(&mut self, key: K, unix: u64) {
        if self.all.len() >= limits::REMEMBERED && !self.all.contains_key(&key) {
            let secs = self.secs;
            self.all.retain(|_, (since, _)| unix.saturating_sub(*since) < secs);
            if self.all.len() >= limits::REMEMBERED {
                // Any one goes: keeping all would be a way to our memory.
                if let Some(k) = self.all.keys().next().cloned() {
                    self.all.remove(&k);
                }
            }
        }
        let n = self.count(&key, unix);
        let since = if n == 0 { unix } else { self.all.get(&key).map_or(unix, |e| e.0) };
        self.all.insert(key, (since, n.saturating_add(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + n).into())
    }

    fn answer(hash: &str, challenge: &str) -> String {
        md5_hex(&[hash.as_bytes(), challenge.as_bytes()])
    }

    #[test]
    fn the_recorded_answer_follows_the_same_formula() {
        // Recorded from a MistServer 2.14: password "test" and this challenge.
        let challenge = "1ea175119153b8360eaabb97d0496c9c";
        assert_eq!(answer(&password_hash("test"), challenge), "50ae0ba6ec7a58b30aa948a1230f3527");
    }

    #[test]
    fn challenges_are_bound_to_address_secret_and_time() {
        let a = Auth::new([1; 32]);
        let c = a.challenge(ip(1), 6000);
        assert_eq!(c.len(), 32);
        assert_eq!(c, a.challenge(ip(1), 6599));
        assert_ne!(c, a.challenge(ip(1), 6600));
        assert_ne!(c, a.challenge(ip(2), 6000));
        assert_ne!(c, Auth::new([2; 32]).challenge(ip(1), 6000));
        assert_eq!(c, a.challenge("::ffff:10.0.0.1".parse().unwrap(), 6000));
        let hash = password_hash("x");
        let right = answer(&hash, &c);
        for (at, who, want) in [
            (6000, 1, Verdict::Yes),
            (6600, 1, Verdict::Yes),
            (7199, 1, Verdict::Yes),
            (7200, 1, Verdict::No),
            (6000, 2, Verdict::No),
        ] {
            assert_eq!(a.check("u", Some(&hash), &right, ip(who), at), want, "{at} {who}");
        }
        assert_eq!(a.check("u", Some(&hash.to_uppercase()), &right.to_uppercase(), ip(3), 6000), Verdict::No);
        let upper = answer(&hash, &a.challenge(ip(3), 6000)).to_uppercase();
        assert_eq!(a.check("u", Some(&hash.to_uppercase()), &upper, ip(3), 6000), Verdict::Yes);
        assert_eq!(a.check("nobody", None, &answer(&"0".repeat(32), &c), ip(1), 6000), Verdict::No);
    }

    #[test]
    fn attempts_are_limited_by_address_and_user() {
        let a = Auth::new([1; 32]);
        let hash = password_hash("x");
        let try_it = |n: u32, good: bool, at: u64| {
            let right = answer(&hash, &a.challenge(ip(n), at));
            a.check("u", Some(&hash), if good { &right } else { "wrong" }, ip(n), at)
        };
        assert_eq!(try_it(7, true, 100), Verdict::Yes);
        for _ in 0..limits::PER_ADDRESS {
            assert_eq!(try_it(1, false, 100), Verdict::No);
        }
        assert_eq!(try_it(1, true, 100), Verdict::Limited);
        assert_eq!(try_it(2, true, 100), Verdict::Yes);
        assert_eq!(try_it(1, true, 100 + limits::ATTEMPT_SECS), Verdict::Yes);
        // Many addresses guess the password of one user; who was right before is not locked out by them.
        for n in 100..100 + limits::PER_USER {
            assert_eq!(try_it(n, false, 300), Verdict::No);
        }
        assert_eq!(try_it(99, true, 300), Verdict::Limited);
        assert_eq!(try_it(7, false, 299), Verdict::No);
        let b = Auth::new([1; 32]);
        for n in 0..limits::REMEMBERED as u32 + 100 {
            b.check(&n.to_string(), None, "x", ip(n), 5);
        }
        assert!(b.addresses.lock().unwrap().all.len() <= limits::REMEMBERED);
        assert!(b.users.lock().unwrap().all.len() <= limits::REMEMBERED);
    }

    #[test]
    fn one_customer_of_ipv6_is_one_party() {
        let n = |s: &str| network(s.parse().unwrap());
        assert_eq!(n("2001:db8::1"), n("2001:db8::ffff:2"));
        assert_ne!(n("2001:db8::1"), n("2001:db8:0:1::1"));
        assert_eq!(n("::1").to_string(), "::1");
    }
}
