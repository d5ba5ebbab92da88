//! Tags of media playlists (RFC 8216bis §4.4.3 to §4.4.5).

use super::*;

impl Parser<'_> {
    /// Whether it was a tag of a media playlist.
    pub(super) fn media_tag(&mut self, name: &str, value: &str) -> Result<bool, ParseError> {
        match name {
            "EXTINF" => self.extinf(value),
            "EXT-X-TARGETDURATION" => {
                self.once("EXT-X-TARGETDURATION");
                let d = seconds(value.trim()).filter(|d| *d >= Duration::ZERO);
                self.media.target_duration = self.read("EXT-X-TARGETDURATION", "a number of seconds", d);
            }
            "EXT-X-MEDIA-SEQUENCE" => {
                self.before_segments("EXT-X-MEDIA-SEQUENCE");
                let n = value.trim().parse().ok();
                self.media.media_sequence = self.read("EXT-X-MEDIA-SEQUENCE", "a number", n).unwrap_or(0);
            }
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                self.before_segments("EXT-X-DISCONTINUITY-SEQUENCE");
                let n = value.trim().parse().ok();
                let n = self.read("EXT-X-DISCONTINUITY-SEQUENCE", "a number", n).unwrap_or(0);
                self.media.discontinuity_sequence = n;
            }
            "EXT-X-ENDLIST" => {
                self.once("EXT-X-ENDLIST");
                self.media.ended = true;
            }
            "EXT-X-PLAYLIST-TYPE" => {
                self.once("EXT-X-PLAYLIST-TYPE");
                let kind = match value.trim() {
                    "EVENT" => Some(PlaylistType::Event),
                    "VOD" => Some(PlaylistType::Vod),
                    _ => None,
                };
                self.media.kind = self.read("EXT-X-PLAYLIST-TYPE", "EVENT or VOD", kind);
            }
            "EXT-X-I-FRAMES-ONLY" => {
                self.media.i_frames_only = true;
                self.needs(4);
            }
            "EXT-X-ALLOW-CACHE" => {}
            "EXT-X-BYTERANGE" => {
                self.needs(4);
                let r = self.read("EXT-X-BYTERANGE", "LENGTH[@OFFSET]", byte_range(value.trim()));
                // The resource is known with the URI: until then, what was written.
                self.segment.byte_range =
                    r.map(|(len, offset)| ByteRange { offset: offset.unwrap_or(u64::MAX), len });
            }
            "EXT-X-DISCONTINUITY" => {
                self.segment.discontinuity = true;
                self.discontinuities = self.discontinuities.saturating_add(1);
            }
            "EXT-X-GAP" => self.segment.gap = true,
            "EXT-X-KEY" => self.segment_key(value)?,
            "EXT-X-MAP" => {
                let mut a = self.attributes("EXT-X-MAP", value);
                let uri = self.required("EXT-X-MAP", "URI", &mut a);
                let range = a.text("BYTERANGE").and_then(|t| {
                    let r = byte_range(&t).and_then(|r| resolve_range((r.0, r.1.or(Some(0))), &uri, None));
                    self.read("EXT-X-MAP", "BYTERANGE", r)
                });
                self.needs(if self.media.i_frames_only { 5 } else { 6 });
                if !uri.is_empty() {
                    let keys = self.keys.clone();
                    self.map = Some(Arc::new(Map { uri, byte_range: range, keys }));
                }
            }
            "EXT-X-PROGRAM-DATE-TIME" => {
                self.segment.date = self.read("EXT-X-PROGRAM-DATE-TIME", "ISO 8601 date", date(value));
            }
            "EXT-X-BITRATE" => {
                self.bitrate = self.read("EXT-X-BITRATE", "a number", value.trim().parse().ok());
            }
            _ => return self.low_latency_tag(name, value),
        }
        Ok(true)
    }

    pub(super) fn before_segments(&mut self, tag: &'static str) {
        self.once(tag);
        if !self.media.segments.is_empty() {
            self.problem(tag, ParseErrorKind::Misplaced("after the first segment"));
        }
    }

    pub(super) fn extinf(&mut self, value: &str) {
        let (length, title) = value.split_once(',').unwrap_or((value, ""));
        let d = seconds(length.trim()).filter(|d| *d >= Duration::ZERO);
        if length.contains('.') {
            self.needs(3);
        }
        if self.has_duration {
            self.problem("EXTINF", ParseErrorKind::Missing("URI of a segment"));
        }
        self.has_duration = true;
        self.segment.duration = self.read("EXTINF", "a number of seconds", d).unwrap_or_default();
        self.segment.title = title.trim().to_owned();
    }

    pub(super) fn segment_key(&mut self, value: &str) -> Result<(), ParseError> {
        let Some(k) = self.key("EXT-X-KEY", value) else {
            self.problem("EXT-X-KEY", ParseErrorKind::Missing("METHOD"));
            return Ok(());
        };
        if std::mem::take(&mut self.keys_used) || k.method == Method::None {
            self.keys.clear();
        }
        self.keys.retain(|o| o.format != k.format);
        if k.method != Method::None {
            if self.keys.len() >= limits::MAX_KEYS {
                return self.limit("EXT-X-KEY", "keys of a segment");
            }
            self.keys.push(Arc::new(k));
        }
        Ok(())
    }

    pub(super) fn low_latency_tag(&mut self, name: &str, value: &str) -> Result<bool, ParseError> {
        match name {
            "EXT-X-PART-INF" => {
                self.once("EXT-X-PART-INF");
                let mut a = self.attributes("EXT-X-PART-INF", value);
                self.media.part_target = self.length("EXT-X-PART-INF", "PART-TARGET", &mut a);
                if self.media.part_target.is_none() {
                    self.problem("EXT-X-PART-INF", ParseErrorKind::Missing("PART-TARGET"));
                }
            }
            "EXT-X-SERVER-CONTROL" => {
                const TAG: &str = "EXT-X-SERVER-CONTROL";
                self.once(TAG);
                let mut a = self.attributes(TAG, value);
                self.media.server_control = Some(ServerControl {
                    can_skip_until: self.length(TAG, "CAN-SKIP-UNTIL", &mut a),
                    can_skip_dateranges: a.yes("CAN-SKIP-DATERANGES"),
                    hold_back: self.length(TAG, "HOLD-BACK", &mut a),
                    part_hold_back: self.length(TAG, "PART-HOLD-BACK", &mut a),
                    can_block_reload: a.yes("CAN-BLOCK-RELOAD"),
                });
            }
            "EXT-X-PART" => self.part(value)?,
            "EXT-X-SKIP" => {
                self.once("EXT-X-SKIP");
                let mut a = self.attributes("EXT-X-SKIP", value);
                let segments = self.number("EXT-X-SKIP", "SKIPPED-SEGMENTS", &mut a);
                let gone = a.or_empty("RECENTLY-REMOVED-DATERANGES");
                self.media.skipped = Some(Skip {
                    segments: segments.unwrap_or(0),
                    removed_dateranges: gone
                        .split('\t')
                        .filter(|s| !s.is_empty())
                        .take(limits::MAX_ENTRIES)
                        .map(str::to_owned)
                        .collect(),
                });
                self.needs(9);
            }
            "EXT-X-PRELOAD-HINT" => {
                const TAG: &str = "EXT-X-PRELOAD-HINT";
                let mut a = self.attributes(TAG, value);
                let is_map = match a.text("TYPE").as_deref() {
                    Some("PART") => Some(false),
                    Some("MAP") => Some(true),
                    _ => None,
                };
                let hint = PreloadHint {
                    is_map: self.read(TAG, "TYPE", is_map).unwrap_or(false),
                    uri: self.required(TAG, "URI", &mut a),
                    offset: self.number(TAG, "BYTERANGE-START", &mut a).unwrap_or(0),
                    len: self.number(TAG, "BYTERANGE-LENGTH", &mut a),
                };
                if self.media.preload_hints.len() >= limits::MAX_ENTRIES {
                    return self.limit(TAG, "entries");
                }
                self.media.preload_hints.push(hint);
            }
            "EXT-X-RENDITION-REPORT" => {
                const TAG: &str = "EXT-X-RENDITION-REPORT";
                let mut a = self.attributes(TAG, value);
                let report = RenditionReport {
                    uri: self.required(TAG, "URI", &mut a),
                    last_number: self.number(TAG, "LAST-MSN", &mut a),
                    last_part: self.number(TAG, "LAST-PART", &mut a),
                };
                if self.media.rendition_reports.len() >= limits::MAX_ENTRIES {
                    return self.limit(TAG, "entries");
                }
                self.media.rendition_reports.push(report);
            }
            "EXT-X-DATERANGE" => self.date_range(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn part(&mut self, value: &str) -> Result<(), ParseError> {
        const TAG: &str = "EXT-X-PART";
        let mut a = self.attributes(TAG, value);
        let uri = self.required(TAG, "URI", &mut a);
        let duration = self.length(TAG, "DURATION", &mut a);
        if duration.is_none() {
            self.problem(TAG, ParseErrorKind::Missing("DURATION"));
        }
        let range = a.text("BYTERANGE").and_then(|t| {
            let before = self.part_end.clone();
            let first = before.as_ref().is_none_or(|b| b.0 != uri).then_some(0);
            let r = byte_range(&t).and_then(|r| resolve_range((r.0, r.1.or(first)), &uri, before.as_ref()));
            self.read(TAG, "BYTERANGE", r)
        });
        if let Some(r) = range {
            self.part_end = Some((uri.clone(), r.offset.saturating_add(r.len)));
        }
        self.parts += 1;
        if self.parts > limits::MAX_PARTS {
            return self.limit(TAG, "parts");
        }
        self.keys_used = true;
        self.segment.parts.push(Part {
            uri,
            byte_range: range,
            duration: duration.unwrap_or_default(),
            independent: a.yes("INDEPENDENT"),
            gap: a.yes("GAP"),
            line: self.line,
        });
        Ok(())
    }

    pub(super) fn date_range(&mut self, value: &str) -> Result<(), ParseError> {
        const TAG: &str = "EXT-X-DATERANGE";
        let mut a = self.attributes(TAG, value);
        let at = |p: &mut Self, a: &mut List, name| {
            let text = a.text(name)?;
            p.read(TAG, name, date(&text))
        };
        let r = DateRange {
            id: self.required(TAG, "ID", &mut a),
            class: a.or_empty("CLASS"),
            start: at(self, &mut a, "START-DATE"),
            end: at(self, &mut a, "END-DATE"),
            duration: self.length(TAG, "DURATION", &mut a),
            planned: self.length(TAG, "PLANNED-DURATION", &mut a),
            cue: a.or_empty("CUE"),
            end_on_next: a.yes("END-ON-NEXT"),
            scte35: [a.or_empty("SCTE35-CMD"), a.or_empty("SCTE35-OUT"), a.or_empty("SCTE35-IN")],
            client: a.0.into_iter().filter(|v| v.0.starts_with("X-")).collect(),
            line: self.line,
        };
        if r.start.zip(r.end).is_some_and(|(s, e)| e < s) {
            self.problem(TAG, ParseErrorKind::Malformed("END-DATE before START-DATE"));
        }
        if self.media.date_ranges.len() >= limits::MAX_ENTRIES {
            return self.limit(TAG, "date ranges");
        }
        self.media.date_ranges.push(r);
        Ok(())
    }

    pub(super) fn uri(&mut self, line: &str) -> Result<(), ParseError> {
        let uri = self.substitute(line)?;
        if let Some(mut v) = self.variant.take() {
            v.uri = uri;
            return self.add_variant(v);
        }
        if self.is_multivariant {
            self.problem("", ParseErrorKind::Misplaced("URI without a tag"));
            return Ok(());
        }
        self.is_media = true;
        if !std::mem::take(&mut self.has_duration) {
            self.problem("EXTINF", ParseErrorKind::Missing("duration of a segment"));
        }
        if self.media.segments.len() >= limits::MAX_SEGMENTS {
            return self.limit("", "segments");
        }
        let mut s = std::mem::take(&mut self.segment);
        if let Some(r) = s.byte_range {
            let written = (r.len, (r.offset != u64::MAX).then_some(r.offset));
            let before = self.range_end.take();
            let range = resolve_range(written, &uri, before.as_ref());
            s.byte_range = self.read("EXT-X-BYTERANGE", "no range before it to go on from", range);
        }
        self.range_end = s.byte_range.map(|r| (uri.clone(), r.offset.saturating_add(r.len)));
        s.uri = uri;
        s.line = self.line;
        s.keys.clone_from(&self.keys);
        s.map.clone_from(&self.map);
        s.bitrate = self.bitrate;
        s.discontinuity_number = self.discontinuities;
        self.keys_used = true;
        self.media.segments.push(s);
        Ok(())
    }
}
