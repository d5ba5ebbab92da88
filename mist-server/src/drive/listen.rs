//! Listening sockets: bound as configured, told apart by what is on them, never the end of the server.

use crate::config::ProtocolConfig;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tracing::{debug, error};

const BACKLOG: i32 = 4096;
/// A peer that vanished while nothing was sent to it is found out after about twice this.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Pause after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn open(addr: SocketAddr, both: bool) -> io::Result<TcpListener> {
    let s = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    s.set_reuse_address(true)?;
    if addr.is_ipv6() {
        s.set_only_v6(!both)?;
    }
    s.set_nonblocking(true)?;
    s.bind(&addr.into())?;
    s.listen(BACKLOG)?;
    TcpListener::from_std(s.into())
}

fn no_ipv6(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::AddrNotAvailable || e.raw_os_error() == Some(nix::libc::EAFNOSUPPORT)
}

/// Binds a listener. Every interface (no interface, `0.0.0.0` or `::`) means IPv6 as well where there is one.
///
/// # Errors
/// The address can't be bound.
pub async fn bind(interface: Option<&str>, port: u16) -> io::Result<TcpListener> {
    let host = interface.map(|i| i.trim_matches(['[', ']'])).filter(|i| !i.is_empty()).unwrap_or("0.0.0.0");
    if matches!(host, "0.0.0.0" | "::") {
        let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
        return match open(v6, true) {
            Ok(l) => Ok(l),
            Err(e) if !no_ipv6(&e) => Err(e),
            Err(_) => open(SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port), false),
        };
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the interface has no address");
    for addr in lookup_host((host, port)).await? {
        match open(addr, false) {
            Ok(l) => return Ok(l),
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Accepts for ever. Running out of descriptors is waited out, not an end.
pub async fn accept_loop(listener: &TcpListener, mut each: impl FnMut(TcpStream, SocketAddr)) {
    loop {
        match listener.accept().await {
            Ok((io, peer)) => {
                let alive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
                let set = io.set_nodelay(true).and_then(|()| SockRef::from(&io).set_tcp_keepalive(&alive));
                if let Err(e) = set {
                    debug!(%peer, "no TCP_NODELAY or keep-alive: {e}");
                }
                each(io, SocketAddr::new(peer.ip().to_canonical(), peer.port()));
            }
            Err(e)
                if e.kind() == io::ErrorKind::ConnectionAborted
                    || e.kind() == io::ErrorKind::ConnectionReset => {}
            Err(e) => {
                error!("can't accept a connection: {e}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Which listeners are up.
#[derive(Debug, Default)]
pub struct Listeners(Mutex<HashMap<Key, SocketAddr>>);

type Key = (String, Option<u16>, Option<String>);

fn key(p: &ProtocolConfig) -> Key {
    (p.connector.to_ascii_uppercase(), p.port, p.interface.clone())
}

impl Listeners {
    /// It listens, there.
    pub fn up(&self, p: &ProtocolConfig, addr: SocketAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key(p), addr);
    }

    /// It doesn't any more.
    pub fn down(&self, p: &ProtocolConfig) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(p));
    }

    /// Where it listens, if it does.
    pub fn address(&self, p: &ProtocolConfig) -> Option<SocketAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key(p)).copied()
    }

    /// Where an output listens, by its name.
    pub fn by_name(&self, connector: &str) -> Option<SocketAddr> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.iter().filter(|(k, _)| k.0.eq_ignore_ascii_case(connector)).map(|(_, a)| *a).min()
    }
}
