//! Enhanced RTMP (Veovera, E-RTMP v2): the `connect` properties by which both ends tell their codecs.
//!
//! Media itself is told apart by its FourCC whatever was announced here: many peers announce nothing and still
//! understand it. Multitrack, reconnect requests and nanosecond offsets are not announced.

use mist_formats::amf::{Object, Value};

/// May be decoded, encoded and forwarded: flags of the FourCC info maps.
mod flag {
    pub(super) const CAN_DECODE: u32 = 1;
    pub(super) const CAN_FORWARD: u32 = 4;
}

/// Video codecs that mist forwards by FourCC.
pub const VIDEO: &[&str] = &["av01", "avc1", "hvc1", "vp09", "vp08"];
/// Audio codecs that mist forwards by FourCC.
pub const AUDIO: &[&str] = &[".mp3", "Opus", "ac-3", "ec-3", "fLaC", "mp4a"];

/// FourCCs of one peer that are looked at.
const FOURCCS: usize = 32;

/// What a peer announced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `fourCcList`, and the keys of the info maps; `*` stands for all.
    pub fourccs: Vec<String>,
    /// `capsEx`; zero when absent.
    pub caps_ex: u32,
    /// Any enhanced property was there.
    pub announced: bool,
}

impl Capabilities {
    /// Out of the command object of `connect`, or of the properties in its result.
    pub fn parse(object: &Value) -> Self {
        let mut out = Self::default();
        let mut add = |name: &str| {
            if out.fourccs.len() < FOURCCS && name.len() <= 4 && !out.fourccs.iter().any(|f| f == name) {
                out.fourccs.push(name.to_owned());
            }
        };
        let mut announced = false;
        if let Some(list) = object.get("fourCcList").and_then(Value::as_array) {
            announced = true;
            list.iter().filter_map(Value::as_str).for_each(&mut add);
        }
        for map in ["videoFourCcInfoMap", "audioFourCcInfoMap"] {
            if let Some(map) = object.get(map).and_then(Value::as_object) {
                announced = true;
                map.members.iter().for_each(|(name, _)| add(name));
            }
        }
        if let Some(caps) = object.get("capsEx").and_then(Value::as_f64) {
            announced = true;
            out.caps_ex = caps as u32;
        }
        out.announced = announced;
        out
    }
}

/// Adds what mist supports to a `connect` command object or to the properties of its result.
#[must_use]
pub fn announce(object: Object) -> Object {
    let flags = f64::from(flag::CAN_DECODE | flag::CAN_FORWARD);
    let map = |list: &[&str]| list.iter().fold(Object::new(), |o, f| o.with(f, flags));
    let list: Vec<Value> = VIDEO.iter().chain(AUDIO).map(|f| Value::from(*f)).collect();
    object
        .with("fourCcList", list)
        .with("videoFourCcInfoMap", map(VIDEO))
        .with("audioFourCcInfoMap", map(AUDIO))
        .with("capsEx", 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_understood() {
        let c = Capabilities::parse(&announce(Object::new()).into());
        assert!(c.announced);
        assert!(VIDEO.iter().chain(AUDIO).all(|f| c.fourccs.iter().any(|g| g == f)));
        assert_eq!(Capabilities::parse(&Object::new().into()), Capabilities::default());
    }

    #[test]
    fn lists_are_bounded() {
        let many: Vec<Value> = (0..10_000).map(|i| Value::from(format!("{i:04}").as_str())).collect();
        let c = Capabilities::parse(&Object::new().with("fourCcList", many).into());
        assert_eq!(c.fourccs.len(), FOURCCS);
    }
}
