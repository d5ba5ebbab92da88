//! The mist media server.

fn main() {}
