//! A server with nothing but the API, on a port of its own, and a client of a few lines.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use md5::{Digest, Md5};
use mist_server::api::{ActiveStream, Api, Connection, Facts, StreamState, handle};
use mist_server::config::{ConfigStore, ProtocolConfig};
use mist_server::log::Log;
use mist_server::session::SessionTable;
use serde_json::Value;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server in which `live` is on air and all listeners but those above port 60000 are up.
#[derive(Default)]
pub(crate) struct Fake(pub(crate) Mutex<Vec<ActiveStream>>);

impl Facts for Fake {
    fn stream_state(&self, name: &str, source: &str) -> StreamState {
        match (name, source.starts_with("push://")) {
            ("live", _) => StreamState::ACTIVE,
            (_, true) => StreamState::WAITING,
            _ => StreamState { online: 2, error: Some("Available".into()) },
        }
    }
    fn active_streams(&self) -> Vec<ActiveStream> {
        self.0.lock().unwrap().clone()
    }
    fn listening(&self, p: &ProtocolConfig) -> bool {
        p.port.is_some_and(|p| p < 60_000)
    }
}

pub(crate) struct Server {
    pub(crate) api: Arc<Api>,
    pub(crate) address: SocketAddr,
    pub(crate) log: Log,
    pub(crate) sessions: Arc<SessionTable>,
    pub(crate) facts: Arc<Fake>,
}

impl Server {
    pub(crate) async fn start(config: ConfigStore) -> Self {
        let log = Log::quiet();
        let sessions = SessionTable::new(log.clone());
        let facts = Arc::new(Fake::default());
        let api = Arc::new(Api::new(
            Arc::new(config),
            sessions.clone(),
            log.clone(),
            facts.clone(),
            mist_server::system::random_bytes().unwrap(),
        ));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = api.clone();
        tokio::spawn(async move {
            while let Ok((socket, peer)) = listener.accept().await {
                let (api, conn) = (served.clone(), Arc::new(Connection::new(peer)));
                tokio::spawn(async move {
                    let service = service_fn(move |req| {
                        let (api, conn) = (api.clone(), conn.clone());
                        async move { Ok::<_, Infallible>(handle(req, &conn, &api).await) }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .await;
                });
            }
        });
        Self { api, address, log, sessions, facts }
    }

    pub(crate) async fn memory(doc: Value) -> Self {
        Self::start(ConfigStore::in_memory(doc)).await
    }

    pub(crate) async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, commands: Value) -> Value {
        self.ask_as(&[], commands).await
    }

    pub(crate) async fn ask_as(&self, headers: &[(&str, &str)], commands: Value) -> Value {
        self.client().await.json(headers, &commands).await
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| {
            let (k, v) = l.split_once(": ")?;
            k.eq_ignore_ascii_case(name).then_some(v)
        })
    }
    pub(crate) fn json(&self) -> Value {
        assert!(self.body.ends_with("\n\n"), "{:?}", self.body);
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn raw(&mut self, request: &[u8]) -> Reply {
        // A server that refuses early closes while we are still sending.
        let _ = self.0.write_all(request).await;
        let mut got = Vec::new();
        let head_end = loop {
            if let Some(i) = got.windows(4).position(|w| w == b"\r\n\r\n") {
                break i + 4;
            }
            let mut b = [0; 4096];
            match self.0.read(&mut b).await {
                Ok(n) if n > 0 => got.extend_from_slice(&b[..n]),
                _ => panic!("no answer: {}", String::from_utf8_lossy(&got)),
            }
        };
        let head = String::from_utf8(got[..head_end].to_vec()).unwrap();
        let mut reply = Reply { status: head[9..12].parse().unwrap(), head, body: String::new() };
        let length: usize = reply.header("content-length").unwrap().parse().unwrap();
        while got.len() < head_end + length {
            let mut b = [0; 4096];
            let n = self.0.read(&mut b).await.unwrap();
            assert!(n > 0);
            got.extend_from_slice(&b[..n]);
        }
        reply.body = String::from_utf8(got[head_end..].to_vec()).unwrap();
        reply
    }

    pub(crate) async fn send(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut r = format!("{method} {target} HTTP/1.1\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(k, _)| k.eq_ignore_ascii_case("host")) {
            r.push_str("Host: 127.0.0.1\r\n");
        }
        for (k, v) in headers {
            r.push_str(&format!("{k}: {v}\r\n"));
        }
        r.push_str("\r\n");
        self.raw(&[r.as_bytes(), body].concat()).await
    }

    pub(crate) async fn json(&mut self, headers: &[(&str, &str)], commands: &Value) -> Value {
        let headers = [&[("Content-Type", "application/json")], headers].concat();
        self.send("POST", "/api", &headers, commands.to_string().as_bytes()).await.json()
    }
}

pub(crate) fn md5(text: &str) -> String {
    Md5::digest(text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect()
}

/// The answer of a client that knows the password.
pub(crate) fn answer(password: &str, challenge: &str) -> String {
    md5(&format!("{}{challenge}", md5(password)))
}

/// A document with one account.
pub(crate) fn with_account(user: &str, password: &str) -> Value {
    serde_json::json!({"account": {user: {"password": md5(password)}}})
}
