//! Enhanced RTMP (Veovera, version 2): the `connect` properties by which both ends tell their codecs.
//!
//! Media that comes in is told apart by its FourCC whatever was announced. What goes out is limited to what the
//! peer announced; a peer that announced nothing gets one track of each kind in any codec, because many players
//! understand FourCCs and do not say so. Reconnect requests are left out.

use mist_formats::amf::{Object, Value};
use mist_formats::flv::Peer;

/// Flags of the FourCC info maps.
const CAN_DECODE: u32 = 1;
const CAN_FORWARD: u32 = 4;
/// Flags of `capsEx`: multitrack, ModEx heads, offsets in nanoseconds.
const CAPS_EX: u32 = 2 | 4 | 8;

/// Video codecs that are read and written by FourCC.
const VIDEO: &[&str] = &["av01", "avc1", "hvc1", "vp08", "vp09"];
/// Audio codecs that are read and written by FourCC.
const AUDIO: &[&str] = &[".mp3", "Opus", "ac-3", "ec-3", "fLaC", "mp4a"];

/// The properties that make a peer an enhanced one.
const PROPERTIES: &[&str] = &["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap", "capsEx"];

/// Whether the command object of `connect`, or the properties in its result, announce anything.
pub fn announced(object: &Value) -> bool {
    PROPERTIES.iter().any(|p| object.get(p).is_some())
}

/// How to write media for a peer that sent this object.
pub fn peer(object: &Value) -> Peer {
    match object.as_object() {
        Some(o) if announced(object) => Peer::from_connect(o),
        _ => unannounced(),
    }
}

/// How to write media for a peer that announced nothing.
pub fn unannounced() -> Peer {
    let mut peer = Peer::FILE;
    peer.multitrack = false;
    peer
}

/// Adds what mist supports to a `connect` command object or to the properties of its result.
#[must_use]
pub fn announce(object: Object) -> Object {
    let map = |list: &[&str]| list.iter().fold(Object::new(), |o, f| o.with(f, CAN_DECODE | CAN_FORWARD));
    let list: Vec<Value> = VIDEO.iter().chain(AUDIO).map(|f| Value::from(*f)).collect();
    object
        .with("fourCcList", list)
        .with("videoFourCcInfoMap", map(VIDEO))
        .with("audioFourCcInfoMap", map(AUDIO))
        .with("capsEx", CAPS_EX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_understood() {
        let o = Value::from(announce(Object::new()));
        assert!(announced(&o));
        let p = peer(&o);
        assert!(p.multitrack && p.nanos);
        assert!(!announced(&Object::new().into()));
        assert_eq!(peer(&Value::Null), unannounced());
        assert_eq!(peer(&Object::new().with("fourCcList", Vec::new()).into()), Peer::LEGACY);
    }
}
