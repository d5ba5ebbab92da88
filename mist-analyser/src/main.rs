//! Shows what is in a media file or stream.

fn main() {}
