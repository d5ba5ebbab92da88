pub mod chunk;
pub mod handshake;
pub mod limits;
pub mod message;
pub(crate) const PROTOCOL_ID: &str = "RTMP";
