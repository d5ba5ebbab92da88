//! An RTMP server over blocking std sockets: what anybody publishes is relayed to everybody who plays.
//!
//! `cargo run -p mist-protocols --example rtmp_server -- 127.0.0.1:1935`
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this is the driver: it does the I/O"
)]
#![allow(clippy::print_stderr, reason = "an example talks to its terminal")]

use bytes::{Buf, Bytes};
use mist_core::media::Media;
use mist_core::session::{Answer, Ask, Flow, Input, Output, Refusal, Session, Ticket};
use mist_core::time::Now;
use mist_protocols::rtmp::{Server, limits::Limits};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// The tracks of the show, and where its viewers listen.
type Hub = Arc<Mutex<(Vec<Media>, Vec<SyncSender<Media>>)>>;

fn now() -> Now {
    Now { instant: Instant::now(), unix: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default() }
}

fn serve(mut tcp: TcpStream, hub: &Hub) -> std::io::Result<()> {
    let mut session = Server::new([42; 32], Limits::DEFAULT); // a real server takes random bytes
    let mut publishing = false;
    let mut play: Option<(Ticket, Receiver<Media>)> = None;
    let mut buffer = vec![0; 65536];
    tcp.set_read_timeout(Some(Duration::from_millis(5)))?;
    session.handle(now(), Input::Opened(Flow(0), tcp.peer_addr()?));
    loop {
        let input = match session.poll() {
            Output::Send(_, mut bytes) => {
                while bytes.has_remaining() {
                    let n = tcp.write(bytes.chunk())?;
                    bytes.advance(n);
                }
                continue;
            }
            Output::Ask(ticket, Ask::Publish { .. }) => {
                publishing = true;
                Input::Answer(ticket, Answer::Yes)
            }
            Output::Ask(ticket, Ask::Play { .. }) if !hub.lock().unwrap().0.is_empty() => {
                let (sender, receiver) = sync_channel(1000);
                let mut hub = hub.lock().unwrap();
                hub.0.iter().for_each(|track| sender.try_send(track.clone()).unwrap_or_default());
                hub.1.push(sender);
                play = Some((ticket, receiver));
                Input::Answer(ticket, Answer::Yes)
            }
            Output::Ask(ticket, _) => Input::Answer(ticket, Answer::No(Refusal::NotFound)),
            Output::Media(_, media) => {
                let mut hub = hub.lock().unwrap();
                if let Media::Track(_) = &media {
                    hub.0.push(media.clone());
                }
                hub.1.retain(|v| v.try_send(media.clone()).is_ok()); // whoever is too slow is dropped
                continue;
            }
            Output::Idle { .. } => match play.as_ref().map(|(t, r)| (*t, r.try_recv())) {
                Some((ticket, Ok(media))) => Input::Media(ticket, media),
                Some((ticket, Err(TryRecvError::Disconnected))) => {
                    play = None;
                    Input::Media(ticket, Media::End)
                }
                _ => match tcp.read(&mut buffer) {
                    Ok(0) => Input::Closed(Flow(0)),
                    Ok(n) => Input::Bytes(Flow(0), Bytes::copy_from_slice(&buffer[..n])),
                    Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Input::Tick,
                    Err(e) => return Err(e),
                },
            },
            Output::Done(result) => {
                if publishing {
                    *hub.lock().unwrap() = Default::default();
                }
                return result.map_err(std::io::Error::other);
            }
            other => {
                eprintln!("{other:?}");
                continue;
            }
        };
        session.handle(now(), input);
    }
}

fn main() -> std::io::Result<()> {
    let hub = Hub::default();
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:1935".into());
    for tcp in TcpListener::bind(address)?.incoming().flatten() {
        let hub = hub.clone();
        std::thread::spawn(move || eprintln!("ended: {:?}", serve(tcp, &hub)));
    }
    Ok(())
}
