//! Payloads that are what they carry: Opus (RFC 7587), and samples (RFC 3551 §4.5).

use super::{Depacketize, Out, Piece};
use mist_core::codec::CodecError;

/// Passes payloads on.
#[derive(Debug)]
pub(super) struct Whole;

impl Depacketize for Whole {
    fn push(&mut self, piece: Piece<'_>, out: &mut Out) -> Result<(), CodecError> {
        let Piece { payload, time, .. } = piece;
        out.frame(time, payload.clone());
        Ok(())
    }
}
