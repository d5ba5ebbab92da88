//! Language codes: ISO 639-1, 639-2 in both its forms, 639-3, and English names.
//!
//! Players, people and containers spell the same language in different ways: `en`, `eng`, `English`; `de`, `deu`
//! and the bibliographic `ger`. [`parse`] and [`same`] see through that.

use crate::media::Lang;

/// ISO 639-1 code, ISO 639-2/T code (the one that ISO 639-3 has too), English name in lower case; by the first.
#[rustfmt::skip]
static LANGUAGES: &[(&str, &str, &str)] = &[
    ("aa", "aar", "afar"), ("ab", "abk", "abkhazian"), ("ae", "ave", "avestan"), ("af", "afr", "afrikaans"),
    ("ak", "aka", "akan"), ("am", "amh", "amharic"), ("an", "arg", "aragonese"), ("ar", "ara", "arabic"),
    ("as", "asm", "assamese"), ("av", "ava", "avaric"), ("ay", "aym", "aymara"), ("az", "aze", "azerbaijani"),
    ("ba", "bak", "bashkir"), ("be", "bel", "belarusian"), ("bg", "bul", "bulgarian"),
    ("bh", "bih", "bihari languages"), ("bi", "bis", "bislama"), ("bm", "bam", "bambara"),
    ("bn", "ben", "bangla"), ("bo", "bod", "tibetan"), ("br", "bre", "breton"), ("bs", "bos", "bosnian"),
    ("ca", "cat", "catalan"), ("ce", "che", "chechen"), ("ch", "cha", "chamorro"), ("co", "cos", "corsican"),
    ("cr", "cre", "cree"), ("cs", "ces", "czech"), ("cu", "chu", "church slavic"), ("cv", "chv", "chuvash"),
    ("cy", "cym", "welsh"), ("da", "dan", "danish"), ("de", "deu", "german"), ("dv", "div", "divehi"),
    ("dz", "dzo", "dzongkha"), ("ee", "ewe", "ewe"), ("el", "ell", "greek"), ("en", "eng", "english"),
    ("eo", "epo", "esperanto"), ("es", "spa", "spanish"), ("et", "est", "estonian"), ("eu", "eus", "basque"),
    ("fa", "fas", "persian"), ("ff", "ful", "fulah"), ("fi", "fin", "finnish"), ("fj", "fij", "fijian"),
    ("fo", "fao", "faroese"), ("fr", "fra", "french"), ("fy", "fry", "western frisian"), ("ga", "gle", "irish"),
    ("gd", "gla", "gaelic"), ("gl", "glg", "galician"), ("gn", "grn", "guarani"), ("gu", "guj", "gujarati"),
    ("gv", "glv", "manx"), ("ha", "hau", "hausa"), ("he", "heb", "hebrew"), ("hi", "hin", "hindi"),
    ("ho", "hmo", "hiri motu"), ("hr", "hrv", "croatian"), ("ht", "hat", "haitian"), ("hu", "hun", "hungarian"),
    ("hy", "hye", "armenian"), ("hz", "her", "herero"), ("ia", "ina", "interlingua"),
    ("id", "ind", "indonesian"), ("ie", "ile", "interlingue"), ("ig", "ibo", "igbo"),
    ("ii", "iii", "sichuan yi"), ("ik", "ipk", "inupiaq"), ("io", "ido", "ido"), ("is", "isl", "icelandic"),
    ("it", "ita", "italian"), ("iu", "iku", "inuktitut"), ("ja", "jpn", "japanese"), ("jv", "jav", "javanese"),
    ("ka", "kat", "georgian"), ("kg", "kon", "kongo"), ("ki", "kik", "kikuyu"), ("kj", "kua", "kuanyama"),
    ("kk", "kaz", "kazakh"), ("kl", "kal", "kalaallisut"), ("km", "khm", "central khmer"),
    ("kn", "kan", "kannada"), ("ko", "kor", "korean"), ("kr", "kau", "kanuri"), ("ks", "kas", "kashmiri"),
    ("ku", "kur", "kurdish"), ("kv", "kom", "komi"), ("kw", "cor", "cornish"), ("ky", "kir", "kirghiz"),
    ("la", "lat", "latin"), ("lb", "ltz", "luxembourgish"), ("lg", "lug", "ganda"), ("li", "lim", "limburgan"),
    ("ln", "lin", "lingala"), ("lo", "lao", "lao"), ("lt", "lit", "lithuanian"), ("lu", "lub", "luba-katanga"),
    ("lv", "lav", "latvian"), ("mg", "mlg", "malagasy"), ("mh", "mah", "marshallese"), ("mi", "mri", "maori"),
    ("mk", "mkd", "macedonian"), ("ml", "mal", "malayalam"), ("mn", "mon", "mongolian"),
    ("mr", "mar", "marathi"), ("ms", "msa", "malay"), ("mt", "mlt", "maltese"), ("my", "mya", "burmese"),
    ("na", "nau", "nauru"), ("nb", "nob", "bokmal"), ("nd", "nde", "north ndebele"), ("ne", "nep", "nepali"),
    ("ng", "ndo", "ndonga"), ("nl", "nld", "dutch"), ("nn", "nno", "nynorsk"), ("no", "nor", "norwegian"),
    ("nr", "nbl", "south ndebele"), ("nv", "nav", "navajo"), ("ny", "nya", "chichewa"),
    ("oc", "oci", "occitan"), ("oj", "oji", "ojibwa"), ("om", "orm", "oromo"), ("or", "ori", "oriya"),
    ("os", "oss", "ossetian"), ("pa", "pan", "panjabi"), ("pi", "pli", "pali"), ("pl", "pol", "polish"),
    ("ps", "pus", "pushto"), ("pt", "por", "portuguese"), ("qu", "que", "quechua"), ("rm", "roh", "romansh"),
    ("rn", "run", "rundi"), ("ro", "ron", "romanian"), ("ru", "rus", "russian"), ("rw", "kin", "kinyarwanda"),
    ("sa", "san", "sanskrit"), ("sc", "srd", "sardinian"), ("sd", "snd", "sindhi"),
    ("se", "sme", "northern sami"), ("sg", "sag", "sango"), ("si", "sin", "sinhala"), ("sk", "slk", "slovak"),
    ("sl", "slv", "slovenian"), ("sm", "smo", "samoan"), ("sn", "sna", "shona"), ("so", "som", "somali"),
    ("sq", "sqi", "albanian"), ("sr", "srp", "serbian"), ("ss", "ssw", "swati"),
    ("st", "sot", "southern sotho"), ("su", "sun", "sundanese"), ("sv", "swe", "swedish"),
    ("sw", "swa", "swahili"), ("ta", "tam", "tamil"), ("te", "tel", "telugu"), ("tg", "tgk", "tajik"),
    ("th", "tha", "thai"), ("ti", "tir", "tigrinya"), ("tk", "tuk", "turkmen"), ("tl", "tgl", "tagalog"),
    ("tn", "tsn", "tswana"), ("to", "ton", "tonga"), ("tr", "tur", "turkish"), ("ts", "tso", "tsonga"),
    ("tt", "tat", "tatar"), ("tw", "twi", "twi"), ("ty", "tah", "tahitian"), ("ug", "uig", "uighur"),
    ("uk", "ukr", "ukrainian"), ("ur", "urd", "urdu"), ("uz", "uzb", "uzbek"), ("ve", "ven", "venda"),
    ("vi", "vie", "vietnamese"), ("vo", "vol", "volapuk"), ("wa", "wln", "walloon"), ("wo", "wol", "wolof"),
    ("xh", "xho", "xhosa"), ("yi", "yid", "yiddish"), ("yo", "yor", "yoruba"), ("za", "zha", "zhuang"),
    ("zh", "zho", "chinese"), ("zu", "zul", "zulu"),
];

/// ISO 639-2/B codes that differ from the 639-2/T code beside them; by the first.
#[rustfmt::skip]
static BIBLIOGRAPHIC: &[(&str, &str)] = &[
    ("alb", "sqi"), ("arm", "hye"), ("baq", "eus"), ("bur", "mya"), ("chi", "zho"), ("cze", "ces"),
    ("dut", "nld"), ("fre", "fra"), ("geo", "kat"), ("ger", "deu"), ("gre", "ell"), ("ice", "isl"),
    ("mac", "mkd"), ("mao", "mri"), ("may", "msa"), ("per", "fas"), ("rum", "ron"), ("slo", "slk"),
    ("tib", "bod"), ("wel", "cym"),
];

/// A language by a two-letter or three-letter code or its English name, in any case, in its ISO 639-3 form.
///
/// Any three letters count as a code: ISO 639-3 has 7,900 of them.
pub fn parse(text: &str) -> Option<Lang> {
    let named = || LANGUAGES.iter().find(|(_, _, name)| text.eq_ignore_ascii_case(name));
    match text.len() {
        2 => LANGUAGES.iter().find(|(two, _, _)| text.eq_ignore_ascii_case(two)),
        3 => return named().and_then(|l| Lang::new(l.1)).or_else(|| Lang::new(text).map(canonical)),
        _ => named(),
    }
    .and_then(|(_, three, _)| Lang::new(three))
}

/// The ISO 639-3 form of a three-letter code: `deu` for `ger`, others unchanged.
pub fn canonical(lang: Lang) -> Lang {
    BIBLIOGRAPHIC
        .binary_search_by(|(code, _)| (*code).cmp(lang.as_str()))
        .ok()
        .and_then(|at| BIBLIOGRAPHIC.get(at))
        .and_then(|(_, three)| Lang::new(three))
        .unwrap_or(lang)
}

/// The ISO 639-2/B form of a code: `ger` for `deu`, others unchanged.
pub fn bibliographic(lang: Lang) -> Lang {
    let line = BIBLIOGRAPHIC.iter().find(|(_, three)| *three == lang.as_str());
    line.and_then(|(code, _)| Lang::new(code)).unwrap_or(lang)
}

/// Whether two codes mean the same language.
pub fn same(a: Lang, b: Lang) -> bool {
    a == b || canonical(a) == canonical(b)
}

/// The shortest code of a language, as BCP 47 wants it: `de` for `deu`, the three letters where there is no
/// two-letter code.
pub fn shortest(lang: &Lang) -> &str {
    let three = canonical(*lang);
    LANGUAGES.iter().find(|(_, t, _)| *t == three.as_str()).map_or_else(|| lang.as_str(), |(two, _, _)| two)
}

/// The English name in lower case, of languages that have a two-letter code.
pub fn name(lang: Lang) -> Option<&'static str> {
    let three = canonical(lang);
    LANGUAGES.iter().find(|(_, t, _)| *t == three.as_str()).map(|(_, _, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_means_the_same() {
        for (spellings, want) in [
            (&["en", "EN", "eng", "English"][..], "eng"),
            (&["de", "deu", "ger", "GERMAN"], "deu"),
            (&["fr", "fra", "fre", "french"], "fra"),
            (&["zh", "zho", "chi", "Chinese"], "zho"),
            (&["nds"], "nds"),
        ] {
            for s in spellings {
                assert_eq!(parse(s).map(|l| l.to_string()).as_deref(), Some(want), "{s}");
            }
        }
        for nothing in ["", "e", "xx", "und", "e1g", "klingonish", "\u{e9}n"] {
            assert_eq!(parse(nothing), None, "{nothing}");
        }
        let [ger, deu] = ["ger", "deu"].map(|c| Lang::new(c).unwrap());
        assert!(same(ger, deu) && !same(ger, Lang::new("eng").unwrap()));
        assert_eq!((canonical(ger), bibliographic(deu), bibliographic(ger)), (deu, ger, ger));
        assert_eq!((shortest(&ger), name(ger)), ("de", Some("german")));
        assert_eq!(shortest(&Lang::new("nds").unwrap()), "nds");
    }

    #[test]
    fn the_tables_are_sound() {
        assert!(LANGUAGES.windows(2).all(|w| w[0].0 < w[1].0));
        assert!(BIBLIOGRAPHIC.windows(2).all(|w| w[0].0 < w[1].0));
        for (two, three, name) in LANGUAGES {
            assert_eq!((two.len(), parse(three)), (2, Lang::new(three)), "{name}");
        }
    }
}
