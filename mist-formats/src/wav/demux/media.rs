//! What is in the data chunk: samples, or frames one behind another.

use super::*;

impl Demuxer {
    pub(super) fn data(&mut self) -> bool {
        let Some(mut d) = self.data else { return false };
        let at = self.queue.offset();
        let resume = d.resume.min(d.end.unwrap_or(u64::MAX));
        if at < resume {
            let n = usize::try_from(resume - at).unwrap_or(usize::MAX);
            if self.queue.skip(n) < n && !self.ended {
                return false;
            }
        }
        let at = self.queue.offset();
        let left = d.end.map(|e| usize::try_from(e.saturating_sub(at)).unwrap_or(usize::MAX));
        let here = self.queue.len().min(left.unwrap_or(usize::MAX));
        let complete = self.ended || left.is_some_and(|l| l <= here);
        let mut step = match &mut d.coding {
            Coding::Undecided => self.decide(&mut d, here, complete),
            Coding::Samples(f) => self.samples(d.start, *f, here, complete),
            Coding::Frames(family) => {
                let mut family = *family;
                let step = self.frame(&mut d, &mut family, here, complete);
                d.coding = Coding::Frames(family);
                step
            }
            Coding::Bursts { first, rate } => {
                let (first, rate) = (*first, *rate);
                self.burst(&mut d, first, rate, here, complete)
            }
        };
        if let (Step::Over(rest), true) = (&mut step, d.passed > 0) {
            self.problem(at.saturating_sub(d.passed), ErrorKind::Sync("no frame from here to the end"));
            d.passed = 0;
            self.queue.skip(std::mem::take(rest));
        }
        self.data = Some(d);
        match step {
            Step::Done => true,
            Step::Wait => false,
            Step::Over(rest) => {
                self.close_data(&d, rest);
                true
            }
        }
    }

    fn close_data(&mut self, d: &Data, rest: usize) {
        let at = self.queue.offset();
        self.queue.skip(rest);
        let end = self.queue.offset();
        if d.end.is_some_and(|e| end < e) {
            self.problem(end, ErrorKind::Truncated);
        } else if rest > 0 && d.end.is_some() {
            self.problem(at, ErrorKind::Malformed("ends inside a sample or frame"));
        }
        // What comes behind is for tools that show structure.
        let odd = end.wrapping_sub(d.start) % 2 == 1;
        self.state = match (self.found.wants_nodes(), odd) {
            (false, _) => State::Done,
            (true, true) => State::Pad,
            (true, false) => State::Chunk,
        };
    }

    /// Looks for AC-3 in the first samples.
    fn decide(&mut self, d: &mut Data, here: usize, complete: bool) -> Step {
        if here < limits::HIDDEN && !complete {
            return Step::Wait;
        }
        let mut head = vec![0; here.min(limits::HIDDEN)];
        self.queue.peek_into(0, &mut head);
        let Some(f) = self.format else { return Step::Over(here) };
        match frames::find_burst(&head) {
            Some(at) => {
                let first = self.queue.offset() + at as u64;
                d.resume = first;
                d.coding = Coding::Bursts { first, rate: f.rate };
            }
            None => {
                d.coding = Coding::Samples(f);
                self.announce(f.codec, f.params());
            }
        }
        Step::Done
    }

    fn samples(&mut self, start: u64, f: Format, here: usize, complete: bool) -> Step {
        let whole = f.packet_samples() * f.block;
        let n = match here {
            n if n >= whole => whole,
            _ if !complete => return Step::Wait,
            n => n - n % f.block,
        };
        let at = self.queue.offset();
        match self.queue.take(n) {
            Some(data) if n > 0 => {
                let data = match f.codec {
                    Codec::Pcm | Codec::PcmFloat => pcm::swapped(data, f.bits),
                    _ => data,
                };
                self.emit(at, samples_at((at - start) / f.block as u64, f.rate), data);
                Step::Done
            }
            _ => Step::Over(here),
        }
    }

    fn frame(&mut self, d: &mut Data, family: &mut Family, here: usize, complete: bool) -> Step {
        let head = |q: &Queue, at: usize| {
            let head = q.peek_at::<{ Frame::HEAD }>(at).filter(|_| here >= at + Frame::HEAD);
            head.and_then(|h| Frame::parse(family.codec, &h))
        };
        if here < Frame::HEAD {
            return if complete { Step::Over(here) } else { Step::Wait };
        }
        let Some(f) = head(&self.queue, 0) else { return self.pass(d, family.codec, here) };
        if d.passed > 0 || !family.last.is_some_and(|l| l.like(&f)) {
            // Believed when another one follows, or the data's end.
            if here < f.len + Frame::HEAD && !complete {
                return Step::Wait;
            }
            let next = head(&self.queue, f.len);
            let alone = here >= f.len && here < f.len + Frame::HEAD;
            if !alone && !next.is_some_and(|n| n.like(&f)) {
                return self.pass(d, family.codec, here);
            }
        }
        if here < f.len {
            return if complete { Step::Over(here) } else { Step::Wait };
        }
        self.found(d);
        let at = self.queue.offset();
        let Some(data) = self.queue.take(f.len) else { return Step::Wait };
        self.announce(f.codec, f.params());
        let before = family.samples;
        family.samples = before.saturating_add(f.samples.into());
        family.last = Some(f);
        if family.samples > family.from {
            self.emit(at, samples_at(before, f.rate), data);
        }
        Step::Done
    }

    fn burst(&mut self, d: &mut Data, first: u64, rate: u32, here: usize, complete: bool) -> Step {
        let at = self.queue.offset();
        let Some(head) = self.queue.peek::<PREAMBLE>().filter(|_| here >= PREAMBLE) else {
            return if complete { Step::Over(here) } else { Step::Wait };
        };
        let Some(len) = frames::burst(&head) else { return self.pass_to(d, frames::PREAMBLE_BYTE, here) };
        if here < PREAMBLE + len {
            return if complete { Step::Over(here) } else { Step::Wait };
        }
        self.found(d);
        self.queue.skip(PREAMBLE);
        let mut data = BytesMut::new();
        if let Some(samples) = self.queue.take(len) {
            pcm::put_swapped(&mut data, &samples, 16);
        }
        d.resume = at + PERIOD as u64;
        let data = data.freeze();
        let Some(f) = Frame::parse(Codec::Ac3, &data) else {
            self.problem(at, ErrorKind::Malformed("burst without a frame"));
            return Step::Done;
        };
        self.announce(f.codec, f.params());
        self.emit(at + PREAMBLE as u64, samples_at(at.saturating_sub(first) / 4, rate), data);
        Step::Done
    }

    /// Reports what was passed over.
    fn found(&mut self, d: &mut Data) {
        if d.passed > 0 {
            let start = self.queue.offset().saturating_sub(d.passed);
            self.problem(start, ErrorKind::Sync("no frame here; went on at the next"));
            d.passed = 0;
        }
    }

    fn pass(&mut self, d: &mut Data, codec: Codec, here: usize) -> Step {
        self.pass_to(d, frames::first_byte(codec), here)
    }

    /// On to the next place that can be a frame's start.
    fn pass_to(&mut self, d: &mut Data, first: u8, here: usize) -> Step {
        let front = self.queue.front();
        let front = front.get(..front.len().min(here)).unwrap_or_default();
        let next = front.get(1..).and_then(|rest| memchr::memchr(first, rest));
        let n = next.map_or(front.len(), |i| i + 1);
        d.passed += self.queue.skip(n) as u64;
        Step::Done
    }
}
