//! Drivers: one a transport, none a protocol. Counting, limits and time-outs are done here once, for all.

mod listen;
mod pace;
mod stall;
mod tcp;
mod terms;

pub use listen::{Listeners, accept_loop, bind};
pub use pace::Pace;
pub use stall::Stall;
pub use tcp::drive;
pub use terms::{SPREAD, Terms};

use std::time::Duration;

/// A peer that takes no byte for this long, although there are some for it, is cut.
pub const WRITE_STALL: Duration = Duration::from_secs(20);
/// What may be collected for a peer before it is written, beyond which nothing more is read from anywhere.
pub const MAX_UNSENT: usize = 512 * 1024;
/// Packets that a viewer takes in one go under the lock.
pub const READ_BATCH: usize = 64;
