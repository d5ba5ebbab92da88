//! The element table: EBML's own elements (RFC 8794 §11) and Matroska's (RFC 9559 §5), with the names that the
//! standards use. What isn't in it is skipped by its size.

/// What an element's data is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Other elements.
    Master,
    /// Unsigned integer of 0 to 8 bytes, big-endian.
    Uint,
    /// Signed integer of 0 to 8 bytes, big-endian.
    Int,
    /// IEEE float of 0, 4 or 8 bytes, big-endian.
    Float,
    /// ASCII or UTF-8, filled up with zeros.
    Text,
    /// Nanoseconds since 2001-01-01T00:00:00 UTC.
    Date,
    /// Anything.
    Binary,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Its id with the length marker, as it lies in a file.
    pub id: u32,
    /// Its name in the standard.
    pub name: &'static str,
    /// What its data is.
    pub kind: Kind,
    /// Id of the element that it belongs in; [`ids::ROOT`] at the top, [`ids::ANY`] for those that may be anywhere.
    pub parent: u32,
}

macro_rules! elements {
    ($($id:literal $konst:ident $name:literal $kind:ident $parent:ident;)*) => {
        /// Ids with their length markers.
        pub mod ids {
            /// No element: the parent of those at the top of a file.
            pub const ROOT: u32 = 0;
            /// No element: the parent of global elements.
            pub const ANY: u32 = u32::MAX;
            $(#[doc = concat!("`", $name, "`")] pub const $konst: u32 = $id;)*
        }

        /// Every element that is known here.
        pub static ELEMENTS: &[Element] = &[
            $(Element { id: $id, name: $name, kind: Kind::$kind, parent: ids::$parent },)*
        ];
    };
}

elements! {
    0xec VOID "Void" Binary ANY;
    0xbf CRC32 "CRC-32" Binary ANY;

    0x1a45_dfa3 EBML "EBML" Master ROOT;
    0x4286 EBML_VERSION "EBMLVersion" Uint EBML;
    0x42f7 EBML_READ_VERSION "EBMLReadVersion" Uint EBML;
    0x42f2 EBML_MAX_ID_LENGTH "EBMLMaxIDLength" Uint EBML;
    0x42f3 EBML_MAX_SIZE_LENGTH "EBMLMaxSizeLength" Uint EBML;
    0x4282 DOC_TYPE "DocType" Text EBML;
    0x4287 DOC_TYPE_VERSION "DocTypeVersion" Uint EBML;
    0x4285 DOC_TYPE_READ_VERSION "DocTypeReadVersion" Uint EBML;
    0x4281 DOC_TYPE_EXTENSION "DocTypeExtension" Master EBML;
    0x4283 DOC_TYPE_EXTENSION_NAME "DocTypeExtensionName" Text DOC_TYPE_EXTENSION;
    0x4284 DOC_TYPE_EXTENSION_VERSION "DocTypeExtensionVersion" Uint DOC_TYPE_EXTENSION;

    0x1853_8067 SEGMENT "Segment" Master ROOT;

    0x114d_9b74 SEEK_HEAD "SeekHead" Master SEGMENT;
    0x4dbb SEEK "Seek" Master SEEK_HEAD;
    0x53ab SEEK_ID "SeekID" Binary SEEK;
    0x53ac SEEK_POSITION "SeekPosition" Uint SEEK;

    0x1549_a966 INFO "Info" Master SEGMENT;
    0x73a4 SEGMENT_UUID "SegmentUUID" Binary INFO;
    0x7384 SEGMENT_FILENAME "SegmentFilename" Text INFO;
    0x3c_b923 PREV_UUID "PrevUUID" Binary INFO;
    0x3c_83ab PREV_FILENAME "PrevFilename" Text INFO;
    0x3e_b923 NEXT_UUID "NextUUID" Binary INFO;
    0x3e_83bb NEXT_FILENAME "NextFilename" Text INFO;
    0x4444 SEGMENT_FAMILY "SegmentFamily" Binary INFO;
    0x6924 CHAPTER_TRANSLATE "ChapterTranslate" Master INFO;
    0x69a5 CHAPTER_TRANSLATE_ID "ChapterTranslateID" Binary CHAPTER_TRANSLATE;
    0x69bf CHAPTER_TRANSLATE_CODEC "ChapterTranslateCodec" Uint CHAPTER_TRANSLATE;
    0x69fc CHAPTER_TRANSLATE_EDITION_UID "ChapterTranslateEditionUID" Uint CHAPTER_TRANSLATE;
    0x2a_d7b1 TIMESTAMP_SCALE "TimestampScale" Uint INFO;
    0x4489 DURATION "Duration" Float INFO;
    0x4461 DATE_UTC "DateUTC" Date INFO;
    0x7ba9 TITLE "Title" Text INFO;
    0x4d80 MUXING_APP "MuxingApp" Text INFO;
    0x5741 WRITING_APP "WritingApp" Text INFO;

    0x1f43_b675 CLUSTER "Cluster" Master SEGMENT;
    0xe7 TIMESTAMP "Timestamp" Uint CLUSTER;
    0x5854 SILENT_TRACKS "SilentTracks" Master CLUSTER;
    0x58d7 SILENT_TRACK_NUMBER "SilentTrackNumber" Uint SILENT_TRACKS;
    0xa7 POSITION "Position" Uint CLUSTER;
    0xab PREV_SIZE "PrevSize" Uint CLUSTER;
    0xa3 SIMPLE_BLOCK "SimpleBlock" Binary CLUSTER;
    0xa0 BLOCK_GROUP "BlockGroup" Master CLUSTER;
    0xaf ENCRYPTED_BLOCK "EncryptedBlock" Binary CLUSTER;
    0xa1 BLOCK "Block" Binary BLOCK_GROUP;
    0xa2 BLOCK_VIRTUAL "BlockVirtual" Binary BLOCK_GROUP;
    0x75a1 BLOCK_ADDITIONS "BlockAdditions" Master BLOCK_GROUP;
    0xa6 BLOCK_MORE "BlockMore" Master BLOCK_ADDITIONS;
    0xa5 BLOCK_ADDITIONAL "BlockAdditional" Binary BLOCK_MORE;
    0xee BLOCK_ADD_ID "BlockAddID" Uint BLOCK_MORE;
    0x9b BLOCK_DURATION "BlockDuration" Uint BLOCK_GROUP;
    0xfa REFERENCE_PRIORITY "ReferencePriority" Uint BLOCK_GROUP;
    0xfb REFERENCE_BLOCK "ReferenceBlock" Int BLOCK_GROUP;
    0xfd REFERENCE_VIRTUAL "ReferenceVirtual" Int BLOCK_GROUP;
    0xa4 CODEC_STATE "CodecState" Binary BLOCK_GROUP;
    0x75a2 DISCARD_PADDING "DiscardPadding" Int BLOCK_GROUP;
    0x8e SLICES "Slices" Master BLOCK_GROUP;
    0xe8 TIME_SLICE "TimeSlice" Master SLICES;
    0xcc LACE_NUMBER "LaceNumber" Uint TIME_SLICE;

    0x1654_ae6b TRACKS "Tracks" Master SEGMENT;
    0xae TRACK_ENTRY "TrackEntry" Master TRACKS;
    0xd7 TRACK_NUMBER "TrackNumber" Uint TRACK_ENTRY;
    0x73c5 TRACK_UID "TrackUID" Uint TRACK_ENTRY;
    0x83 TRACK_TYPE "TrackType" Uint TRACK_ENTRY;
    0xb9 FLAG_ENABLED "FlagEnabled" Uint TRACK_ENTRY;
    0x88 FLAG_DEFAULT "FlagDefault" Uint TRACK_ENTRY;
    0x55aa FLAG_FORCED "FlagForced" Uint TRACK_ENTRY;
    0x55ab FLAG_HEARING_IMPAIRED "FlagHearingImpaired" Uint TRACK_ENTRY;
    0x55ac FLAG_VISUAL_IMPAIRED "FlagVisualImpaired" Uint TRACK_ENTRY;
    0x55ad FLAG_TEXT_DESCRIPTIONS "FlagTextDescriptions" Uint TRACK_ENTRY;
    0x55ae FLAG_ORIGINAL "FlagOriginal" Uint TRACK_ENTRY;
    0x55af FLAG_COMMENTARY "FlagCommentary" Uint TRACK_ENTRY;
    0x9c FLAG_LACING "FlagLacing" Uint TRACK_ENTRY;
    0x6de7 MIN_CACHE "MinCache" Uint TRACK_ENTRY;
    0x6df8 MAX_CACHE "MaxCache" Uint TRACK_ENTRY;
    0x23_e383 DEFAULT_DURATION "DefaultDuration" Uint TRACK_ENTRY;
    0x23_4e7a DEFAULT_DECODED_FIELD_DURATION "DefaultDecodedFieldDuration" Uint TRACK_ENTRY;
    0x23_314f TRACK_TIMESTAMP_SCALE "TrackTimestampScale" Float TRACK_ENTRY;
    0x537f TRACK_OFFSET "TrackOffset" Int TRACK_ENTRY;
    0x55ee MAX_BLOCK_ADDITION_ID "MaxBlockAdditionID" Uint TRACK_ENTRY;
    0x41e4 BLOCK_ADDITION_MAPPING "BlockAdditionMapping" Master TRACK_ENTRY;
    0x41f0 BLOCK_ADD_ID_VALUE "BlockAddIDValue" Uint BLOCK_ADDITION_MAPPING;
    0x41a4 BLOCK_ADD_ID_NAME "BlockAddIDName" Text BLOCK_ADDITION_MAPPING;
    0x41e7 BLOCK_ADD_ID_TYPE "BlockAddIDType" Uint BLOCK_ADDITION_MAPPING;
    0x41ed BLOCK_ADD_ID_EXTRA_DATA "BlockAddIDExtraData" Binary BLOCK_ADDITION_MAPPING;
    0x536e NAME "Name" Text TRACK_ENTRY;
    0x22_b59c LANGUAGE "Language" Text TRACK_ENTRY;
    0x22_b59d LANGUAGE_BCP47 "LanguageBCP47" Text TRACK_ENTRY;
    0x86 CODEC_ID "CodecID" Text TRACK_ENTRY;
    0x63a2 CODEC_PRIVATE "CodecPrivate" Binary TRACK_ENTRY;
    0x25_8688 CODEC_NAME "CodecName" Text TRACK_ENTRY;
    0x7446 ATTACHMENT_LINK "AttachmentLink" Uint TRACK_ENTRY;
    0x3a_9697 CODEC_SETTINGS "CodecSettings" Text TRACK_ENTRY;
    0x3b_4040 CODEC_INFO_URL "CodecInfoURL" Text TRACK_ENTRY;
    0x26_b240 CODEC_DOWNLOAD_URL "CodecDownloadURL" Text TRACK_ENTRY;
    0xaa CODEC_DECODE_ALL "CodecDecodeAll" Uint TRACK_ENTRY;
    0x6fab TRACK_OVERLAY "TrackOverlay" Uint TRACK_ENTRY;
    0x56aa CODEC_DELAY "CodecDelay" Uint TRACK_ENTRY;
    0x56bb SEEK_PRE_ROLL "SeekPreRoll" Uint TRACK_ENTRY;
    0x6624 TRACK_TRANSLATE "TrackTranslate" Master TRACK_ENTRY;
    0x66a5 TRACK_TRANSLATE_TRACK_ID "TrackTranslateTrackID" Binary TRACK_TRANSLATE;
    0x66bf TRACK_TRANSLATE_CODEC "TrackTranslateCodec" Uint TRACK_TRANSLATE;
    0x66fc TRACK_TRANSLATE_EDITION_UID "TrackTranslateEditionUID" Uint TRACK_TRANSLATE;

    0xe0 VIDEO "Video" Master TRACK_ENTRY;
    0x9a FLAG_INTERLACED "FlagInterlaced" Uint VIDEO;
    0x9d FIELD_ORDER "FieldOrder" Uint VIDEO;
    0x53b8 STEREO_MODE "StereoMode" Uint VIDEO;
    0x53c0 ALPHA_MODE "AlphaMode" Uint VIDEO;
    0x53b9 OLD_STEREO_MODE "OldStereoMode" Uint VIDEO;
    0xb0 PIXEL_WIDTH "PixelWidth" Uint VIDEO;
    0xba PIXEL_HEIGHT "PixelHeight" Uint VIDEO;
    0x54aa PIXEL_CROP_BOTTOM "PixelCropBottom" Uint VIDEO;
    0x54bb PIXEL_CROP_TOP "PixelCropTop" Uint VIDEO;
    0x54cc PIXEL_CROP_LEFT "PixelCropLeft" Uint VIDEO;
    0x54dd PIXEL_CROP_RIGHT "PixelCropRight" Uint VIDEO;
    0x54b0 DISPLAY_WIDTH "DisplayWidth" Uint VIDEO;
    0x54ba DISPLAY_HEIGHT "DisplayHeight" Uint VIDEO;
    0x54b2 DISPLAY_UNIT "DisplayUnit" Uint VIDEO;
    0x54b3 ASPECT_RATIO_TYPE "AspectRatioType" Uint VIDEO;
    0x2e_b524 UNCOMPRESSED_FOURCC "UncompressedFourCC" Binary VIDEO;
    0x2f_b523 GAMMA_VALUE "GammaValue" Float VIDEO;
    0x23_83e3 FRAME_RATE "FrameRate" Float VIDEO;
    0x55b0 COLOUR "Colour" Master VIDEO;
    0x55b1 MATRIX_COEFFICIENTS "MatrixCoefficients" Uint COLOUR;
    0x55b2 BITS_PER_CHANNEL "BitsPerChannel" Uint COLOUR;
    0x55b3 CHROMA_SUBSAMPLING_HORZ "ChromaSubsamplingHorz" Uint COLOUR;
    0x55b4 CHROMA_SUBSAMPLING_VERT "ChromaSubsamplingVert" Uint COLOUR;
    0x55b5 CB_SUBSAMPLING_HORZ "CbSubsamplingHorz" Uint COLOUR;
    0x55b6 CB_SUBSAMPLING_VERT "CbSubsamplingVert" Uint COLOUR;
    0x55b7 CHROMA_SITING_HORZ "ChromaSitingHorz" Uint COLOUR;
    0x55b8 CHROMA_SITING_VERT "ChromaSitingVert" Uint COLOUR;
    0x55b9 RANGE "Range" Uint COLOUR;
    0x55ba TRANSFER_CHARACTERISTICS "TransferCharacteristics" Uint COLOUR;
    0x55bb PRIMARIES "Primaries" Uint COLOUR;
    0x55bc MAX_CLL "MaxCLL" Uint COLOUR;
    0x55bd MAX_FALL "MaxFALL" Uint COLOUR;
    0x55d0 MASTERING_METADATA "MasteringMetadata" Master COLOUR;
    0x55d1 PRIMARY_R_CHROMATICITY_X "PrimaryRChromaticityX" Float MASTERING_METADATA;
    0x55d2 PRIMARY_R_CHROMATICITY_Y "PrimaryRChromaticityY" Float MASTERING_METADATA;
    0x55d3 PRIMARY_G_CHROMATICITY_X "PrimaryGChromaticityX" Float MASTERING_METADATA;
    0x55d4 PRIMARY_G_CHROMATICITY_Y "PrimaryGChromaticityY" Float MASTERING_METADATA;
    0x55d5 PRIMARY_B_CHROMATICITY_X "PrimaryBChromaticityX" Float MASTERING_METADATA;
    0x55d6 PRIMARY_B_CHROMATICITY_Y "PrimaryBChromaticityY" Float MASTERING_METADATA;
    0x55d7 WHITE_POINT_CHROMATICITY_X "WhitePointChromaticityX" Float MASTERING_METADATA;
    0x55d8 WHITE_POINT_CHROMATICITY_Y "WhitePointChromaticityY" Float MASTERING_METADATA;
    0x55d9 LUMINANCE_MAX "LuminanceMax" Float MASTERING_METADATA;
    0x55da LUMINANCE_MIN "LuminanceMin" Float MASTERING_METADATA;
    0x7670 PROJECTION "Projection" Master VIDEO;
    0x7671 PROJECTION_TYPE "ProjectionType" Uint PROJECTION;
    0x7672 PROJECTION_PRIVATE "ProjectionPrivate" Binary PROJECTION;
    0x7673 PROJECTION_POSE_YAW "ProjectionPoseYaw" Float PROJECTION;
    0x7674 PROJECTION_POSE_PITCH "ProjectionPosePitch" Float PROJECTION;
    0x7675 PROJECTION_POSE_ROLL "ProjectionPoseRoll" Float PROJECTION;

    0xe1 AUDIO "Audio" Master TRACK_ENTRY;
    0xb5 SAMPLING_FREQUENCY "SamplingFrequency" Float AUDIO;
    0x78b5 OUTPUT_SAMPLING_FREQUENCY "OutputSamplingFrequency" Float AUDIO;
    0x9f CHANNELS "Channels" Uint AUDIO;
    0x7d7b CHANNEL_POSITIONS "ChannelPositions" Binary AUDIO;
    0x6264 BIT_DEPTH "BitDepth" Uint AUDIO;
    0x52f1 EMPHASIS "Emphasis" Uint AUDIO;

    0xe2 TRACK_OPERATION "TrackOperation" Master TRACK_ENTRY;
    0xe3 TRACK_COMBINE_PLANES "TrackCombinePlanes" Master TRACK_OPERATION;
    0xe4 TRACK_PLANE "TrackPlane" Master TRACK_COMBINE_PLANES;
    0xe5 TRACK_PLANE_UID "TrackPlaneUID" Uint TRACK_PLANE;
    0xe6 TRACK_PLANE_TYPE "TrackPlaneType" Uint TRACK_PLANE;
    0xe9 TRACK_JOIN_BLOCKS "TrackJoinBlocks" Master TRACK_OPERATION;
    0xed TRACK_JOIN_UID "TrackJoinUID" Uint TRACK_JOIN_BLOCKS;

    0x6d80 CONTENT_ENCODINGS "ContentEncodings" Master TRACK_ENTRY;
    0x6240 CONTENT_ENCODING "ContentEncoding" Master CONTENT_ENCODINGS;
    0x5031 CONTENT_ENCODING_ORDER "ContentEncodingOrder" Uint CONTENT_ENCODING;
    0x5032 CONTENT_ENCODING_SCOPE "ContentEncodingScope" Uint CONTENT_ENCODING;
    0x5033 CONTENT_ENCODING_TYPE "ContentEncodingType" Uint CONTENT_ENCODING;
    0x5034 CONTENT_COMPRESSION "ContentCompression" Master CONTENT_ENCODING;
    0x4254 CONTENT_COMP_ALGO "ContentCompAlgo" Uint CONTENT_COMPRESSION;
    0x4255 CONTENT_COMP_SETTINGS "ContentCompSettings" Binary CONTENT_COMPRESSION;
    0x5035 CONTENT_ENCRYPTION "ContentEncryption" Master CONTENT_ENCODING;
    0x47e1 CONTENT_ENC_ALGO "ContentEncAlgo" Uint CONTENT_ENCRYPTION;
    0x47e2 CONTENT_ENC_KEY_ID "ContentEncKeyID" Binary CONTENT_ENCRYPTION;
    0x47e7 CONTENT_ENC_AES_SETTINGS "ContentEncAESSettings" Master CONTENT_ENCRYPTION;
    0x47e8 AES_SETTINGS_CIPHER_MODE "AESSettingsCipherMode" Uint CONTENT_ENC_AES_SETTINGS;

    0x1c53_bb6b CUES "Cues" Master SEGMENT;
    0xbb CUE_POINT "CuePoint" Master CUES;
    0xb3 CUE_TIME "CueTime" Uint CUE_POINT;
    0xb7 CUE_TRACK_POSITIONS "CueTrackPositions" Master CUE_POINT;
    0xf7 CUE_TRACK "CueTrack" Uint CUE_TRACK_POSITIONS;
    0xf1 CUE_CLUSTER_POSITION "CueClusterPosition" Uint CUE_TRACK_POSITIONS;
    0xf0 CUE_RELATIVE_POSITION "CueRelativePosition" Uint CUE_TRACK_POSITIONS;
    0xb2 CUE_DURATION "CueDuration" Uint CUE_TRACK_POSITIONS;
    0x5378 CUE_BLOCK_NUMBER "CueBlockNumber" Uint CUE_TRACK_POSITIONS;
    0xea CUE_CODEC_STATE "CueCodecState" Uint CUE_TRACK_POSITIONS;
    0xdb CUE_REFERENCE "CueReference" Master CUE_TRACK_POSITIONS;
    0x96 CUE_REF_TIME "CueRefTime" Uint CUE_REFERENCE;

    0x1941_a469 ATTACHMENTS "Attachments" Master SEGMENT;
    0x61a7 ATTACHED_FILE "AttachedFile" Master ATTACHMENTS;
    0x467e FILE_DESCRIPTION "FileDescription" Text ATTACHED_FILE;
    0x466e FILE_NAME "FileName" Text ATTACHED_FILE;
    0x4660 FILE_MEDIA_TYPE "FileMediaType" Text ATTACHED_FILE;
    0x465c FILE_DATA "FileData" Binary ATTACHED_FILE;
    0x46ae FILE_UID "FileUID" Uint ATTACHED_FILE;

    0x1043_a770 CHAPTERS "Chapters" Master SEGMENT;
    0x45b9 EDITION_ENTRY "EditionEntry" Master CHAPTERS;
    0x45bc EDITION_UID "EditionUID" Uint EDITION_ENTRY;
    0x45bd EDITION_FLAG_HIDDEN "EditionFlagHidden" Uint EDITION_ENTRY;
    0x45db EDITION_FLAG_DEFAULT "EditionFlagDefault" Uint EDITION_ENTRY;
    0x45dd EDITION_FLAG_ORDERED "EditionFlagOrdered" Uint EDITION_ENTRY;
    0xb6 CHAPTER_ATOM "ChapterAtom" Master EDITION_ENTRY;
    0x73c4 CHAPTER_UID "ChapterUID" Uint CHAPTER_ATOM;
    0x5654 CHAPTER_STRING_UID "ChapterStringUID" Text CHAPTER_ATOM;
    0x91 CHAPTER_TIME_START "ChapterTimeStart" Uint CHAPTER_ATOM;
    0x92 CHAPTER_TIME_END "ChapterTimeEnd" Uint CHAPTER_ATOM;
    0x98 CHAPTER_FLAG_HIDDEN "ChapterFlagHidden" Uint CHAPTER_ATOM;
    0x4598 CHAPTER_FLAG_ENABLED "ChapterFlagEnabled" Uint CHAPTER_ATOM;
    0x6e67 CHAPTER_SEGMENT_UUID "ChapterSegmentUUID" Binary CHAPTER_ATOM;
    0x6ebc CHAPTER_SEGMENT_EDITION_UID "ChapterSegmentEditionUID" Uint CHAPTER_ATOM;
    0x63c3 CHAPTER_PHYSICAL_EQUIV "ChapterPhysicalEquiv" Uint CHAPTER_ATOM;
    0x8f CHAPTER_TRACK "ChapterTrack" Master CHAPTER_ATOM;
    0x89 CHAPTER_TRACK_UID "ChapterTrackUID" Uint CHAPTER_TRACK;
    0x80 CHAPTER_DISPLAY "ChapterDisplay" Master CHAPTER_ATOM;
    0x85 CHAP_STRING "ChapString" Text CHAPTER_DISPLAY;
    0x437c CHAP_LANGUAGE "ChapLanguage" Text CHAPTER_DISPLAY;
    0x437d CHAP_LANGUAGE_BCP47 "ChapLanguageBCP47" Text CHAPTER_DISPLAY;
    0x437e CHAP_COUNTRY "ChapCountry" Text CHAPTER_DISPLAY;

    0x1254_c367 TAGS "Tags" Master SEGMENT;
    0x7373 TAG "Tag" Master TAGS;
    0x63c0 TARGETS "Targets" Master TAG;
    0x68ca TARGET_TYPE_VALUE "TargetTypeValue" Uint TARGETS;
    0x63ca TARGET_TYPE "TargetType" Text TARGETS;
    0x63c5 TAG_TRACK_UID "TagTrackUID" Uint TARGETS;
    0x63c9 TAG_EDITION_UID "TagEditionUID" Uint TARGETS;
    0x63c4 TAG_CHAPTER_UID "TagChapterUID" Uint TARGETS;
    0x63c6 TAG_ATTACHMENT_UID "TagAttachmentUID" Uint TARGETS;
    0x67c8 SIMPLE_TAG "SimpleTag" Master TAG;
    0x45a3 TAG_NAME "TagName" Text SIMPLE_TAG;
    0x447a TAG_LANGUAGE "TagLanguage" Text SIMPLE_TAG;
    0x447b TAG_LANGUAGE_BCP47 "TagLanguageBCP47" Text SIMPLE_TAG;
    0x4484 TAG_DEFAULT "TagDefault" Uint SIMPLE_TAG;
    0x4487 TAG_STRING "TagString" Text SIMPLE_TAG;
    0x4485 TAG_BINARY "TagBinary" Binary SIMPLE_TAG;
}

/// The element with this id.
pub fn element(id: u32) -> Option<&'static Element> {
    ELEMENTS.iter().find(|e| e.id == id)
}

/// The name of an element, for people.
pub fn name(id: u32) -> &'static str {
    element(id).map_or("unknown", |e| e.name)
}

/// Whether an element ends `parent` when that has no size of its own (RFC 8794 §6.2): it is known, not a global one,
/// and belongs higher up.
pub fn ends(id: u32, parent: u32) -> bool {
    let Some(e) = element(id) else { return false };
    if e.parent == ids::ANY {
        return false;
    }
    let mut at = e.parent;
    // The table's chains end at the top.
    while let Some(up) = element(at) {
        if up.id == parent {
            return false;
        }
        at = up.parent;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_a_place() {
        for (i, e) in ELEMENTS.iter().enumerate() {
            assert!(ELEMENTS.iter().skip(i + 1).all(|o| o.id != e.id), "{:x} twice", e.id);
            // The marker of an id's first byte says its length.
            let bytes = e.id.to_be_bytes();
            let len = 4 - e.id.leading_zeros() as usize / 8;
            assert_eq!(bytes[4 - len].leading_zeros() as usize + 1, len, "{}", e.name);
            if e.parent != ids::ROOT && e.parent != ids::ANY {
                assert_eq!(element(e.parent).map(|p| p.kind), Some(Kind::Master), "{}", e.name);
            }
        }
    }

    #[test]
    fn what_ends_a_cluster_of_unknown_size() {
        for id in [ids::CLUSTER, ids::CUES, ids::TAGS, ids::SEGMENT, ids::EBML, ids::TRACKS] {
            assert!(ends(id, ids::CLUSTER), "{}", name(id));
        }
        for id in [ids::SIMPLE_BLOCK, ids::BLOCK, ids::VOID, ids::CRC32, 0x7fff] {
            assert!(!ends(id, ids::CLUSTER), "{id:x}");
        }
        assert!(ends(ids::EBML, ids::SEGMENT) && ends(ids::SEGMENT, ids::SEGMENT));
        assert!(!ends(ids::CLUSTER, ids::SEGMENT) && !ends(ids::SEEK, ids::SEGMENT));
    }
}
