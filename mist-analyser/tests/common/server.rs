//! A small HTTP server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a server does with a request: its path, and the range's first and last byte where there is one.
pub(crate) type Answer = dyn Fn(&str, Option<(u64, Option<u64>)>, &mut TcpStream) + Send + Sync;

/// A server for as long as the test runs. Returns its URL and the requests it had.
pub(crate) fn serve(
    answer: impl Fn(&str, Option<(u64, Option<u64>)>, &mut TcpStream) + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let log = Arc::new(Mutex::new(Vec::new()));
    let requests = log.clone();
    let answer: Arc<Answer> = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let (answer, requests) = (answer.clone(), requests.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream);
                let mut lines = Vec::new();
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                        break;
                    }
                    lines.push(line.trim_end().to_owned());
                }
                let Some(path) = lines.first().and_then(|l| l.split(' ').nth(1)).map(str::to_owned) else {
                    return;
                };
                let range = lines.iter().find_map(|l| {
                    let (from, to) = l.strip_prefix("Range: bytes=")?.split_once('-')?;
                    Some((from.parse().ok()?, to.parse().ok()))
                });
                requests.lock().unwrap().push(path.clone());
                let mut stream = reader.into_inner();
                answer(&path, range, &mut stream);
                // Until the other side has gone, or what was sent may be lost.
                let _ = stream.shutdown(std::net::Shutdown::Write);
                let _ = stream.read(&mut [0; 16]);
            });
        }
    });
    (url, log)
}

/// Bytes as they are.
pub(crate) fn send(stream: &mut TcpStream, head: &str, body: &[u8]) {
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body);
}

/// All of it.
pub(crate) fn ok(stream: &mut TcpStream, body: &[u8]) {
    send(stream, &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()), body);
}
