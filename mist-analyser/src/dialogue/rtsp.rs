//! RTSP: messages and interleaved packets, listed and counted.

use super::node;
use crate::analysis::Analysis;
use crate::problem::{Problem, Sort};
use crate::source::Source;
use bytes::Bytes;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Bytes of the head and of the body of an RTSP message.
const RTSP_HEAD: usize = 64 << 10;
const RTSP_BODY: usize = 1 << 20;

/// One direction of RTSP (RFC 2326, RFC 7826): messages, and packets in between (RFC 2326 §10.12).
#[derive(Default)]
pub(super) struct Rtsp {
    index: u32,
    buf: Vec<u8>,
    /// Offset of the first byte in `buf`.
    at: u64,
    /// Of each channel: packets, bytes, and the last sequence number.
    channels: Vec<(u8, u64, u64, Option<u16>)>,
    messages: u64,
}

impl Rtsp {
    pub(super) fn new(index: u32) -> Self {
        Self { index, ..Self::default() }
    }

    pub(super) fn run<W: Write>(
        mut self,
        source: &mut Source,
        analysis: &mut Analysis<W>,
    ) -> io::Result<Result<(), String>> {
        loop {
            let data: Bytes = match source.next() {
                Ok(Some((_, d))) => d,
                Ok(None) => break,
                Err(e) => return Ok(Err(e.to_string())),
            };
            self.buf.extend_from_slice(&data);
            let mut used = 0;
            loop {
                let n = match self.unit(used, analysis)? {
                    Ok(Some(n)) => n,
                    Ok(None) => break,
                    Err(why) if self.messages == 0 => return Ok(Err(why.to_owned())),
                    Err(why) => {
                        let at = Some(self.at + used as u64);
                        analysis.problem(Problem::new(Sort::Malformed, why).at(at))?;
                        return Ok(Ok(()));
                    }
                };
                used += n;
            }
            self.buf.drain(..used);
            self.at += used as u64;
        }
        if self.messages == 0 && self.channels.is_empty() {
            return Ok(Err("no RTSP message in it".to_owned()));
        }
        analysis.saw_other();
        if !self.buf.is_empty() {
            let what = "the recording ends inside a message or packet";
            analysis.problem(Problem::new(Sort::Truncated, what).at(Some(self.at)))?;
        }
        if !self.channels.is_empty() {
            let mut what = String::from("media in RTP is counted, not put together;");
            for (channel, packets, bytes, _) in &self.channels {
                let _ = write!(what, " channel {channel}: {packets} packets, {bytes} bytes,");
            }
            analysis.problem(Problem::new(Sort::RtpMedia, what.trim_end_matches(',')))?;
        }
        Ok(Ok(()))
    }

    /// Reads what begins at `from` of the buffer. Gives its length, `None` when it isn't all there.
    fn unit<W: Write>(
        &mut self,
        from: usize,
        analysis: &mut Analysis<W>,
    ) -> io::Result<Result<Option<usize>, &'static str>> {
        let data = self.buf.get(from..).unwrap_or_default();
        let at = self.at + from as u64;
        match data {
            [] => Ok(Ok(None)),
            [b'$', rest @ ..] => {
                let Some((&[channel, hi, lo], body)) = rest.split_first_chunk::<3>() else {
                    return Ok(Ok(None));
                };
                let len = usize::from(u16::from_be_bytes([hi, lo]));
                let Some(packet) = body.get(..len) else { return Ok(Ok(None)) };
                let (detail, lost) = self.packet(channel, packet.to_vec().as_slice());
                let (index, name) = (self.index, if channel % 2 == 0 { "RTP packet" } else { "RTCP packet" });
                node(analysis, (0, at, len + 4), name, || format!("channel {channel} {detail}"))?;
                if let Some(lost) = lost {
                    let what = format!("direction {index}, channel {channel}: {lost} packets are missing");
                    analysis.problem(Problem::new(Sort::RtpLoss, &what).at(Some(at)))?;
                }
                Ok(Ok(Some(len + 4)))
            }
            _ => self.message(from, at, analysis),
        }
    }

    /// Counts a packet. Says what is in its head, and how many are missing before it.
    fn packet(&mut self, channel: u8, data: &[u8]) -> (String, Option<u16>) {
        let i = self.channels.iter().position(|c| c.0 == channel).unwrap_or_else(|| {
            self.channels.push((channel, 0, 0, None));
            self.channels.len() - 1
        });
        let c = &mut self.channels[i];
        c.1 += 1;
        c.2 += data.len() as u64;
        let Some(&[flags, kind, s1, s2, t1, t2, t3, t4]) = data.first_chunk::<8>() else {
            return ("too short".to_owned(), None);
        };
        if channel % 2 == 1 {
            return (format!("type {kind}"), None);
        }
        let sequence = u16::from_be_bytes([s1, s2]);
        let time = u32::from_be_bytes([t1, t2, t3, t4]);
        let step = c.3.replace(sequence).map(|before| sequence.wrapping_sub(before));
        let lost = step.filter(|s| (2..0x8000).contains(s)).map(|s| s - 1);
        let mark = if kind & 0x80 != 0 { " marker" } else { "" };
        let detail =
            format!("version {} type {} sequence {sequence} timestamp {time}{mark}", flags >> 6, kind & 0x7F);
        (detail, lost)
    }

    fn message<W: Write>(
        &mut self,
        from: usize,
        at: u64,
        analysis: &mut Analysis<W>,
    ) -> io::Result<Result<Option<usize>, &'static str>> {
        let data = self.buf.get(from..).unwrap_or_default();
        let Some(end) = data.windows(4).take(RTSP_HEAD).position(|w| w == b"\r\n\r\n") else {
            let text = data.iter().take(16).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace());
            return Ok(if data.len() >= RTSP_HEAD || !text { Err("no RTSP message here") } else { Ok(None) });
        };
        let head = String::from_utf8_lossy(data.get(..end).unwrap_or_default()).into_owned();
        let mut lines = head.lines();
        let first = lines.next().unwrap_or("").to_owned();
        if !first.contains("RTSP/") {
            return Ok(Err("no RTSP message here"));
        }
        let mut length = 0;
        for (name, value) in lines.clone().filter_map(|l| l.split_once(':')) {
            if name.trim().eq_ignore_ascii_case("content-length") {
                length = match value.trim().parse::<usize>() {
                    Ok(n) if n <= RTSP_BODY => n,
                    _ => return Ok(Err("Content-Length")),
                };
            }
        }
        let Some(body) = data.get(end + 4..end + 4 + length) else { return Ok(Ok(None)) };
        let body = String::from_utf8_lossy(body).into_owned();
        self.messages += 1;
        let total = end + 4 + length;
        node(
            analysis,
            (0, at, total),
            if first.starts_with("RTSP/") { "response" } else { "request" },
            || first.clone(),
        )?;
        for l in lines {
            node(analysis, (1, at, l.len()), "header", || l.to_owned())?;
        }
        for l in body.lines() {
            node(analysis, (1, at + end as u64 + 4, l.len()), "body", || l.to_owned())?;
        }
        let status =
            first.strip_prefix("RTSP/").and_then(|r| r.split(' ').nth(1)).and_then(|s| s.parse::<u16>().ok());
        // A first 401 only asks for who it is.
        if status.is_some_and(|s| s >= 400 && s != 401) {
            analysis.problem(Problem::new(Sort::DialogueRefused, &first).at(Some(at)))?;
        }
        Ok(Ok(Some(total)))
    }
}
