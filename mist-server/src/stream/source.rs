//! Sources that the server runs itself. For now: the embedded clip, looped as live.

use super::live::{LiveStream, Publisher, now};
use bytes::Bytes;
use mist_core::format::{Demuxed, Want};
use mist_core::media::{Media, Packet};
use mist_core::registry::probe;
use mist_core::time::{Duration, Timestamp};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

/// The source of the stream that `--demo` adds.
pub const DEMO: &str = "demo:";
/// Packets that are written in one go when late.
const CATCH_UP: usize = 64;
static CLIP: &[u8] = include_bytes!("../../assets/demo.flv");

/// Whether the server writes streams with this source itself.
pub fn is_own(source: &str) -> bool {
    source == DEMO
}

/// Everything in a clip: what is said of its tracks, its packets, and its length.
fn load(clip: &'static [u8]) -> Option<(Vec<Media>, Vec<Packet>, Duration)> {
    let format = probe(mist_formats::FORMATS, clip)?;
    let mut d = (format.demuxer?)();
    d.push(0, Bytes::from_static(clip));
    d.end();
    let (mut tracks, mut packets) = (Vec::new(), Vec::new());
    loop {
        match d.poll() {
            Ok(Demuxed::Media(Media::Packet(p))) => packets.push(p),
            Ok(Demuxed::Media(m @ Media::Track(_))) => tracks.push(m),
            Ok(Demuxed::Need(Want::Next) | Demuxed::Media(_) | Demuxed::Problem(_)) => {}
            Ok(Demuxed::End) => break,
            Ok(_) => return None,
            Err(e) => {
                warn!("embedded clip: {e}");
                return None;
            }
        }
    }
    packets.sort_by_key(|p: &Packet| p.dts);
    let first = packets.first()?.dts;
    // A loop lasts as long as its longest track: the last packet lasts as long as the one before it.
    let length = packets
        .iter()
        .map(|p| p.track)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .filter_map(|t| {
            let mut own = packets.iter().filter(|p| p.track == t).rev();
            let (last, before) = (own.next()?, own.next()?);
            Some(last.dts + (last.dts - before.dts) - first)
        })
        .max()?;
    Some((tracks, packets, length))
}

async fn play(publisher: &Publisher, clip: &(Vec<Media>, Vec<Packet>, Duration)) {
    let (tracks, packets, length) = clip;
    let Some(first) = packets.first().map(|p| p.dts) else { return };
    let start = Instant::now();
    let mut offset = Duration::ZERO;
    let mut batch: Vec<Media> = tracks.clone();
    if !publisher.write(&mut batch, now()) {
        return;
    }
    loop {
        for p in packets {
            let at: Duration = p.dts - first + offset;
            let due = start + at.to_std();
            if due > Instant::now() {
                if !batch.is_empty() && !publisher.write(&mut batch, now()) {
                    return;
                }
                sleep_until(due).await;
            }
            let p = Packet { dts: Timestamp::ZERO + at, ..p.clone() };
            batch.push(Media::Packet(p));
            if batch.len() >= CATCH_UP {
                // Far behind, after a pause of the machine: others must get their turn.
                if !publisher.write(&mut batch, now()) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
        offset += *length;
    }
}

/// Writes a stream whose source is the server's own until `stop` is told.
pub async fn run(stream: Arc<LiveStream>, stop: Arc<Notify>) {
    let Some(clip) = load(CLIP) else {
        warn!(stream = %stream.name(), "the embedded clip can't be read");
        return;
    };
    let Some(publisher) = stream.try_publish(&stop) else { return };
    info!(stream = %stream.name(), "playing the embedded clip in a loop");
    tokio::select! {
        () = play(&publisher, &clip) => {}
        () = stop.notified() => {}
    }
}
