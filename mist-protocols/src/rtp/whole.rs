//! Payloads that are what they carry: Opus (RFC 7587), and samples (RFC 3551 §4.5).

use super::{Depacketize, Out};
use bytes::Bytes;
use mist_core::codec::CodecError;

/// Passes payloads on.
#[derive(Debug)]
pub(super) struct Whole;

impl Depacketize for Whole {
    fn push(
        &mut self,
        payload: &Bytes,
        _: bool,
        time: i64,
        _: bool,
        out: &mut Out,
    ) -> Result<(), CodecError> {
        out.frame(time, payload.clone());
        Ok(())
    }
}
