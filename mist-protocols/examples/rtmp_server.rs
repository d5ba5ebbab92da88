//! An RTMP server over blocking std sockets: whoever publishes is relayed to whoever plays the same name.
//!
//! `cargo run -p mist-protocols --example rtmp_server -- 127.0.0.1:1935`
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this is the driver: it does the I/O"
)]
#![allow(clippy::print_stderr, reason = "an example talks to its terminal")]

use bytes::{Buf, Bytes};
use mist_core::media::{Media, TrackId};
use mist_core::session::{Answer, Ask, Flow, Input, Output, Refusal, Session, Ticket};
use mist_core::time::Now;
use mist_protocols::rtmp::{Server, limits::Limits};
use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// What is known of a stream: its tracks, and where its viewers listen.
type Stream = (BTreeMap<TrackId, Media>, Vec<SyncSender<Media>>);
type Hub = Arc<Mutex<HashMap<String, Stream>>>;

fn now() -> Now {
    Now { instant: Instant::now(), unix: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default() }
}

fn serve(mut tcp: TcpStream, hub: &Hub, published: &mut HashMap<Ticket, String>) -> std::io::Result<()> {
    let mut session = Server::new([42; 32], Limits::DEFAULT); // a real server takes random bytes
    let mut plays: Vec<(Ticket, Receiver<Media>)> = Vec::new();
    let mut buffer = vec![0; 65536];
    tcp.set_read_timeout(Some(Duration::from_millis(5)))?;
    session.handle(now(), Input::Opened(Flow(0), tcp.peer_addr()?));
    loop {
        match session.poll() {
            Output::Send(_, mut bytes) => {
                while bytes.has_remaining() {
                    let n = tcp.write(bytes.chunk())?;
                    bytes.advance(n);
                }
            }
            Output::Ask(ticket, Ask::Publish { stream, .. }) => {
                hub.lock().unwrap().insert(stream.clone(), Stream::default());
                published.insert(ticket, stream);
                session.handle(now(), Input::Answer(ticket, Answer::Yes));
            }
            Output::Ask(ticket, Ask::Play { stream, .. }) => match hub.lock().unwrap().get_mut(&stream) {
                Some((tracks, viewers)) => {
                    let (sender, receiver) = sync_channel(1000);
                    tracks.values().for_each(|t| sender.try_send(t.clone()).unwrap_or_default());
                    viewers.push(sender);
                    plays.push((ticket, receiver));
                    session.handle(now(), Input::Answer(ticket, Answer::Yes));
                }
                None => session.handle(now(), Input::Answer(ticket, Answer::No(Refusal::NotFound))),
            },
            Output::Ask(ticket, _) => {
                session.handle(now(), Input::Answer(ticket, Answer::No(Refusal::NotFound)));
            }
            Output::Media(ticket, media) => {
                let mut hub = hub.lock().unwrap();
                let Some((tracks, viewers)) = published.get(&ticket).and_then(|s| hub.get_mut(s)) else {
                    continue;
                };
                if let Media::Track(t) = &media {
                    tracks.insert(t.id, media.clone());
                }
                viewers.retain(|v| v.try_send(media.clone()).is_ok()); // whoever is too slow is dropped
            }
            Output::Idle { .. } => {
                let mut input = None;
                for (ticket, receiver) in &plays {
                    input = match receiver.try_recv() {
                        Ok(media) => Some(Input::Media(*ticket, media)),
                        Err(TryRecvError::Disconnected) => Some(Input::Media(*ticket, Media::End)),
                        Err(TryRecvError::Empty) => continue,
                    };
                    break;
                }
                if let Some(Input::Media(ticket, Media::End)) = input {
                    plays.retain(|(t, _)| *t != ticket);
                }
                let input = match input {
                    Some(input) => input,
                    None => match tcp.read(&mut buffer) {
                        Ok(0) => Input::Closed(Flow(0)),
                        Ok(n) => Input::Bytes(Flow(0), Bytes::copy_from_slice(&buffer[..n])),
                        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                            Input::Tick
                        }
                        Err(e) => return Err(e),
                    },
                };
                session.handle(now(), input);
            }
            Output::Done(result) => return result.map_err(std::io::Error::other),
            other => eprintln!("{other:?}"),
        }
    }
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:1935".into());
    let hub = Hub::default();
    for tcp in TcpListener::bind(address)?.incoming().flatten() {
        let hub = hub.clone();
        std::thread::spawn(move || {
            let mut published = HashMap::new();
            eprintln!("ended: {:?}", serve(tcp, &hub, &mut published));
            published.values().for_each(|stream| drop(hub.lock().unwrap().remove(stream)));
        });
    }
    Ok(())
}
