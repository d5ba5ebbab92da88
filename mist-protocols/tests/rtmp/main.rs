//! RTMP: one behaviour a file. Sessions talk to each other, or to scripted peers, in virtual time.

mod aggregate;
mod chunks;
mod dialects;
mod hostile;
mod publish_and_play;
mod refusals;
mod replay;
mod several_streams;
mod support;
mod time_limits;
mod timestamps;
mod viewer;
