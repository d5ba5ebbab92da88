//! Track selectors: which tracks of a stream a viewer, push or recording gets (manual 2.4.1 and 2.4.2).

use crate::codec::Codec;
use crate::lang;
use crate::media::{Kind, Lang, TrackId, TrackInfo};
use crate::registry::{Codecs, carries, choose};
use crate::url::Query;
use std::sync::Arc;

/// What one of `video=`, `audio=` and `subtitle=` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Selector {
    /// Not given: the output's first choice.
    #[default]
    Default,
    /// Every track of the kind: `all`, `*`, or given but empty.
    All,
    /// No track of the kind: `0`, `-1` or `none`.
    None,
    /// The track with this id.
    Id(TrackId),
    /// The first track, by id, with this codec, else in this language. A text can mean both: `aac` is a
    /// language, too. Neither given matches nothing.
    Like {
        /// By codec name.
        codec: Option<Codec>,
        /// By language code or English name.
        lang: Option<Lang>,
    },
}

impl Selector {
    /// Reads a decoded value. Nothing is an error: what means no track matches none.
    pub fn parse(value: &str) -> Self {
        let value = value.trim();
        let is = |word: &str| value.eq_ignore_ascii_case(word);
        if value.is_empty() || value == "*" || is("all") {
            return Self::All;
        }
        if is("none") || value == "-1" {
            return Self::None;
        }
        if value.bytes().all(|b| b.is_ascii_digit()) {
            return match value.parse() {
                Ok(0) => Self::None,
                Ok(id) => Self::Id(TrackId(id)),
                Err(_) => Self::Like { codec: None, lang: None },
            };
        }
        let codec = Codec::from_name(value).or_else(|| match () {
            () if is("avc") => Some(Codec::H264),
            () if is("h265") => Some(Codec::Hevc),
            () => None,
        });
        Self::Like { codec, lang: lang::parse(value) }
    }

    /// Whether it leaves only one track or none.
    const fn is_single(self) -> bool {
        !matches!(self, Self::All)
    }
}

/// The selectors of a request or target.
///
/// ```
/// use mist_core::select::{Selection, Selector};
/// let s = Selection::parse("video=h264&audio=none&video=all");
/// assert_eq!((s.video, s.audio, s.subtitle), (Selector::All, Selector::None, Selector::Default));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Selection {
    /// `video=`.
    pub video: Selector,
    /// `audio=`.
    pub audio: Selector,
    /// `subtitle=`.
    pub subtitle: Selector,
    /// `passthrough=1`: every track that the output can carry at all, whatever the selectors say.
    pub passthrough: bool,
}

impl Selection {
    /// Out of a query (still encoded, without `?`). The last of repeated parameters counts; others are ignored.
    pub fn parse(query: &str) -> Self {
        let mut selection = Self::default();
        for (key, value) in Query::new(query).iter() {
            selection.set(&key, &value);
        }
        selection
    }

    /// Takes one decoded parameter in; returns whether it was one of selection.
    pub fn set(&mut self, key: &str, value: &str) -> bool {
        match key {
            "video" => self.video = Selector::parse(value),
            "audio" => self.audio = Selector::parse(value),
            "subtitle" => self.subtitle = Selector::parse(value),
            "passthrough" => self.passthrough = !matches!(value.trim(), "" | "0" | "false"),
            _ => return false,
        }
        true
    }

    /// The selector for a kind of track; data tracks have none.
    pub const fn of(&self, kind: Kind) -> Selector {
        match kind {
            Kind::Video => self.video,
            Kind::Audio => self.audio,
            Kind::Text => self.subtitle,
            Kind::Data => Selector::Default,
        }
    }

    /// Every track that the output can carry and that is not selected away: for outputs that offer a choice.
    /// A selector that means one track leaves one. In the order of `tracks`.
    pub fn offer<'t>(
        &self,
        codecs: Codecs,
        tracks: impl IntoIterator<Item = &'t Arc<TrackInfo>>,
    ) -> Vec<Arc<TrackInfo>> {
        let mut offered: Vec<_> = tracks.into_iter().filter(|t| carries(codecs, t)).cloned().collect();
        if self.passthrough {
            return offered;
        }
        let picks = [Kind::Video, Kind::Audio, Kind::Text].map(|kind| self.pick(kind, &offered));
        offered.retain(|t| match (self.of(t.codec.kind()), t.codec.kind()) {
            (Selector::Default | Selector::All, _) | (_, Kind::Data) => true,
            (Selector::None, _) => false,
            (Selector::Id(_) | Selector::Like { .. }, _) => picks.contains(&Some(t.id)),
        });
        offered
    }

    /// The tracks that an output carries at the same time: what the selectors say, as far as one of its codec
    /// combinations takes it, and one track of each kind that has no selector. The lowest id wins within a kind.
    pub fn select<'t>(
        &self,
        codecs: Codecs,
        tracks: impl IntoIterator<Item = &'t Arc<TrackInfo>>,
    ) -> Vec<Arc<TrackInfo>> {
        let mut offered = self.offer(codecs, tracks);
        offered.sort_by_key(|t| (t.codec.kind(), t.id));
        let mut chosen = choose(codecs, &offered);
        if !self.passthrough {
            let mut last = None;
            chosen.retain(|t| {
                let kind = t.codec.kind();
                let first = last.replace(kind) != Some(kind);
                first || !self.of(kind).is_single()
            });
        }
        chosen
    }

    fn pick(&self, kind: Kind, tracks: &[Arc<TrackInfo>]) -> Option<TrackId> {
        let lowest = |test: &dyn Fn(&TrackInfo) -> bool| {
            tracks.iter().filter(|t| t.codec.kind() == kind && test(t)).map(|t| t.id).min()
        };
        match self.of(kind) {
            Selector::Default | Selector::All | Selector::None => None,
            Selector::Id(id) => lowest(&|t| t.id == id),
            Selector::Like { codec, lang } => lowest(&|t| Some(t.codec) == codec)
                .or_else(|| lowest(&|t| t.lang.zip(lang).is_some_and(|(a, b)| lang::same(a, b)))),
        }
    }
}

/// Fuzz body: whatever the query, the choice is a subset of the offer and has no track twice.
#[cfg(any(test, fuzzing, feature = "fuzzing"))]
pub fn fuzz(query: &str, codecs: Codecs, tracks: &[Arc<TrackInfo>]) {
    let selection = Selection::parse(query);
    let offered = selection.offer(codecs, tracks);
    let selected = selection.select(codecs, tracks);
    for (at, t) in selected.iter().enumerate() {
        assert!(offered.iter().any(|o| Arc::ptr_eq(o, t)));
        assert!(!selected.iter().skip(at + 1).any(|o| o.id == t.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Params;
    use crate::registry::Slot;
    use bytes::Bytes;

    const VIDEO: &[Codec] = &[Codec::H264, Codec::Hevc];
    const AUDIO: &[Codec] = &[Codec::Aac, Codec::Mp3];
    const ONE: Codecs = &[&[Slot::Of(VIDEO), Slot::Of(AUDIO), Slot::Of(&[Codec::Subtitle])]];
    const MANY: Codecs = &[&[Slot::Many(VIDEO), Slot::Many(AUDIO), Slot::Many(&[Codec::Subtitle])]];
    const TWO: Codecs =
        &[&[Slot::Of(&[Codec::Vp9]), Slot::Of(&[Codec::Opus])], &[Slot::Of(VIDEO), Slot::Of(AUDIO)]];

    fn track(id: u32, codec: Codec, lang: &str) -> Arc<TrackInfo> {
        let (id, lang) = (TrackId(id), Lang::new(lang));
        Arc::new(TrackInfo::new(id, codec, Bytes::new(), Params::Other).with_lang(lang))
    }

    /// Ids out of order on purpose: the lowest wins, not the first.
    fn tracks() -> Vec<Arc<TrackInfo>> {
        vec![
            track(5, Codec::H264, "fre"),
            track(1, Codec::H264, "eng"),
            track(3, Codec::Vp9, ""),
            track(2, Codec::Aac, "eng"),
            track(4, Codec::Mp3, "deu"),
            track(6, Codec::Opus, "eng"),
            track(8, Codec::Subtitle, "fra"),
            track(7, Codec::Subtitle, "eng"),
            track(9, Codec::Json, ""),
        ]
    }

    fn ids(codecs: Codecs, query: &str) -> Vec<u32> {
        Selection::parse(query).select(codecs, &tracks()).iter().map(|t| t.id.0).collect()
    }

    #[test]
    fn the_manuals_examples() {
        for (query, want) in [
            ("", &[1, 2, 7][..]),
            ("video=h264&audio=aac&subtitle=eng", &[1, 2, 7]),
            ("video=1&audio=2&subtitle=7", &[1, 2, 7]),
            ("video=english&audio=english&subtitle=en", &[1, 2, 7]),
            ("video=all&audio=&subtitle=all", &[1, 5, 2, 4, 7, 8]),
            ("video=all&audio=0&subtitle=0", &[1, 5]),
            ("passthrough=1", &[1, 5, 2, 4, 7, 8]),
        ] {
            assert_eq!(ids(MANY, query), want, "{query}");
        }
    }

    #[test]
    fn every_form_of_selector() {
        for (query, want) in [
            ("video=all&audio=all", &[1, 2, 7][..]),
            ("video=fr&audio=ger&subtitle=French", &[5, 4, 8]),
            ("video=fra&audio=MP3&subtitle=none", &[5, 4]),
            ("video=none&audio=-1&subtitle=0", &[]),
            ("video=2", &[2, 7]),
            ("video=vp9&audio=opus", &[7]),
            ("video=3", &[2, 7]),
            ("video=99999999999999999999&audio=nonsense&subtitle=%ff", &[]),
            ("video=none&video=5&subtitle=0", &[5, 2]),
            ("vide%6f=%35&%73ubtitle=8", &[5, 2, 8]),
            ("audio=german&subtitle=0&other=1&&=&=x", &[1, 4]),
            ("video=avc&subtitle=0", &[1, 2]),
            ("passthrough=0&subtitle=0", &[1, 2]),
        ] {
            assert_eq!(ids(ONE, query), want, "{query}");
        }
    }

    #[test]
    fn combinations_decide_together_with_selectors() {
        assert_eq!(ids(TWO, ""), [3, 6]);
        assert_eq!(ids(TWO, "video=h264"), [1, 2]);
        assert_eq!(ids(TWO, "video=none&audio=mp3"), [4]);
        let offer =
            |q: &str| Selection::parse(q).offer(MANY, &tracks()).iter().map(|t| t.id.0).collect::<Vec<_>>();
        assert_eq!(offer(""), [5, 1, 2, 4, 8, 7]);
        assert_eq!(offer("audio=eng&video=all&subtitle=none"), [5, 1, 2]);
    }

    #[test]
    fn any_query_is_answered() {
        let tracks = tracks();
        proptest::proptest!(|(q in "((video|audio|subtitle|passthrough|x)=(all|none|[0-9]{0,12}|[a-z]{0,4}|%[0-9a-g]{2}|.)[&;]?){0,6}")| {
            for codecs in [ONE, MANY, TWO, &[], &[&[Slot::Any]]] {
                fuzz(&q, codecs, &tracks);
            }
        });
    }
}
