//! Tags of multivariant playlists (RFC 8216bis §4.4.6), and the attributes that media playlists share with them.

use super::*;

impl Parser<'_> {
    /// Whether it was a tag of a multivariant playlist.
    pub(super) fn multivariant_tag(&mut self, name: &str, value: &str) -> Result<bool, ParseError> {
        match name {
            "EXT-X-STREAM-INF" => {
                if self.variant.is_some() {
                    self.problem("EXT-X-STREAM-INF", ParseErrorKind::Missing("URI of a variant"));
                }
                self.variant = Some(self.variant("EXT-X-STREAM-INF", value, false));
            }
            "EXT-X-I-FRAME-STREAM-INF" => {
                let v = self.variant("EXT-X-I-FRAME-STREAM-INF", value, true);
                if v.uri.is_empty() {
                    self.problem("EXT-X-I-FRAME-STREAM-INF", ParseErrorKind::Missing("URI"));
                } else {
                    self.add_variant(v)?;
                }
            }
            "EXT-X-MEDIA" => self.rendition(value)?,
            "EXT-X-SESSION-DATA" => {
                let mut a = self.attributes("EXT-X-SESSION-DATA", value);
                let id = self.required("EXT-X-SESSION-DATA", "DATA-ID", &mut a);
                let d = SessionData {
                    id,
                    value: a.text("VALUE"),
                    uri: a.text("URI"),
                    language: a.or_empty("LANGUAGE"),
                };
                if d.value.is_some() == d.uri.is_some() {
                    self.problem("EXT-X-SESSION-DATA", ParseErrorKind::Malformed("one of VALUE and URI"));
                }
                if self.multivariant.session_data.len() >= limits::MAX_ENTRIES {
                    return self.limit("EXT-X-SESSION-DATA", "entries");
                }
                self.multivariant.session_data.push(d);
            }
            "EXT-X-SESSION-KEY" => {
                if let Some(k) = self.key("EXT-X-SESSION-KEY", value) {
                    if self.multivariant.session_keys.len() >= limits::MAX_ENTRIES {
                        return self.limit("EXT-X-SESSION-KEY", "entries");
                    }
                    self.multivariant.session_keys.push(k);
                }
            }
            "EXT-X-CONTENT-STEERING" => {
                self.once("EXT-X-CONTENT-STEERING");
                let mut a = self.attributes("EXT-X-CONTENT-STEERING", value);
                let uri = self.required("EXT-X-CONTENT-STEERING", "SERVER-URI", &mut a);
                self.multivariant.steering = Some(Steering { uri, pathway: a.or_empty("PATHWAY-ID") });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn required(&mut self, tag: &'static str, name: &'static str, a: &mut List) -> String {
        let v = a.text(name).filter(|v| !v.is_empty());
        if v.is_none() {
            self.problem(tag, ParseErrorKind::Missing(name));
        }
        v.unwrap_or_default()
    }

    /// A number that must be one if it is there.
    pub(super) fn number<T: std::str::FromStr>(
        &mut self,
        tag: &'static str,
        name: &'static str,
        a: &mut List,
    ) -> Option<T> {
        let text = a.text(name)?;
        self.read(tag, name, text.parse().ok())
    }

    /// A duration that must be one if it is there.
    pub(super) fn length(&mut self, tag: &'static str, name: &'static str, a: &mut List) -> Option<Duration> {
        let text = a.text(name)?;
        self.read(tag, name, seconds(&text).filter(|d| *d >= Duration::ZERO))
    }

    pub(super) fn variant(&mut self, tag: &'static str, value: &str, i_frames: bool) -> Variant {
        let mut a = self.attributes(tag, value);
        let bandwidth = self.number(tag, "BANDWIDTH", &mut a);
        if bandwidth.is_none() {
            self.problem(tag, ParseErrorKind::Missing("BANDWIDTH"));
        }
        let resolution = a.text("RESOLUTION").and_then(|t| {
            let size = t.split_once(['x', 'X']).and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
            self.read(tag, "RESOLUTION", size)
        });
        Variant {
            uri: if i_frames { a.or_empty("URI") } else { String::new() },
            i_frames,
            bandwidth: bandwidth.unwrap_or(0),
            average_bandwidth: self.number(tag, "AVERAGE-BANDWIDTH", &mut a),
            score: self.number(tag, "SCORE", &mut a).filter(|s: &f64| s.is_finite()),
            codecs: a.or_empty("CODECS"),
            supplemental_codecs: a.or_empty("SUPPLEMENTAL-CODECS"),
            resolution,
            frame_rate: self.number(tag, "FRAME-RATE", &mut a).filter(|f: &f64| f.is_finite()),
            hdcp_level: a.or_empty("HDCP-LEVEL"),
            allowed_cpc: a.or_empty("ALLOWED-CPC"),
            video_range: a.or_empty("VIDEO-RANGE"),
            stable_id: a.or_empty("STABLE-VARIANT-ID"),
            pathway: a.or_empty("PATHWAY-ID"),
            video: a.or_empty("VIDEO"),
            audio: a.or_empty("AUDIO"),
            subtitles: a.or_empty("SUBTITLES"),
            closed_captions: a.or_empty("CLOSED-CAPTIONS"),
            line: self.line,
        }
    }

    pub(super) fn add_variant(&mut self, v: Variant) -> Result<(), ParseError> {
        if self.multivariant.variants.len() >= limits::MAX_ENTRIES {
            return self.limit("EXT-X-STREAM-INF", "variants");
        }
        self.multivariant.variants.push(v);
        Ok(())
    }

    pub(super) fn rendition(&mut self, value: &str) -> Result<(), ParseError> {
        const TAG: &str = "EXT-X-MEDIA";
        let mut a = self.attributes(TAG, value);
        let kind = match a.text("TYPE").as_deref() {
            Some("AUDIO") => RenditionKind::Audio,
            Some("VIDEO") => RenditionKind::Video,
            Some("SUBTITLES") => RenditionKind::Subtitles,
            Some("CLOSED-CAPTIONS") => RenditionKind::ClosedCaptions,
            _ => {
                self.problem(TAG, ParseErrorKind::Malformed("TYPE"));
                return Ok(());
            }
        };
        let r = Rendition {
            kind,
            uri: a.text("URI"),
            group: self.required(TAG, "GROUP-ID", &mut a),
            language: a.or_empty("LANGUAGE"),
            assoc_language: a.or_empty("ASSOC-LANGUAGE"),
            name: self.required(TAG, "NAME", &mut a),
            stable_id: a.or_empty("STABLE-RENDITION-ID"),
            default: a.yes("DEFAULT"),
            autoselect: a.yes("AUTOSELECT"),
            forced: a.yes("FORCED"),
            instream_id: a.or_empty("INSTREAM-ID"),
            bit_depth: self.number(TAG, "BIT-DEPTH", &mut a),
            sample_rate: self.number(TAG, "SAMPLE-RATE", &mut a),
            characteristics: a.or_empty("CHARACTERISTICS"),
            channels: a.or_empty("CHANNELS"),
            line: self.line,
        };
        match kind {
            RenditionKind::Subtitles if r.uri.is_none() => {
                self.problem(TAG, ParseErrorKind::Missing("URI of subtitles"));
            }
            RenditionKind::ClosedCaptions if r.uri.is_some() => {
                self.problem(TAG, ParseErrorKind::Misplaced("URI of closed captions"));
            }
            RenditionKind::ClosedCaptions if r.instream_id.is_empty() => {
                self.problem(TAG, ParseErrorKind::Missing("INSTREAM-ID"));
            }
            _ => {}
        }
        if self.multivariant.renditions.len() >= limits::MAX_ENTRIES {
            return self.limit(TAG, "renditions");
        }
        self.multivariant.renditions.push(r);
        Ok(())
    }

    pub(super) fn key(&mut self, tag: &'static str, value: &str) -> Option<Key> {
        let mut a = self.attributes(tag, value);
        let method = match a.text("METHOD")?.as_str() {
            "NONE" => Method::None,
            "AES-128" => Method::Aes128,
            "AES-256" => Method::Aes256,
            "AES-256-CTR" => Method::Aes256Ctr,
            "SAMPLE-AES" => Method::SampleAes,
            "SAMPLE-AES-CTR" => Method::SampleAesCtr,
            other => Method::Other(other.to_owned()),
        };
        let uri = a.text("URI");
        if method != Method::None && uri.is_none() {
            self.problem(tag, ParseErrorKind::Missing("URI"));
        }
        let vector = a.text("IV").and_then(|t| self.read(tag, "IV", iv(&t)));
        if vector.is_some() {
            self.needs(2);
        }
        let format = a.text("KEYFORMAT");
        let format_versions = a.text("KEYFORMATVERSIONS");
        if format.is_some() || format_versions.is_some() {
            self.needs(5);
        }
        Some(Key {
            method,
            uri,
            iv: vector,
            format: format.unwrap_or_else(|| "identity".to_owned()),
            format_versions: format_versions.unwrap_or_default(),
        })
    }
}
