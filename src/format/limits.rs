//! Every length, count, depth and cost that a reader accepts (format-spec, "Limits"): one constant each.

/// A sealed blob's plaintext, in bytes.
pub const BLOB_PLAIN_MAX: u32 = 16 << 20;
/// What a blob may take in a pack before its tag: never more than its plaintext.
pub const BLOB_STORED_MAX: u32 = BLOB_PLAIN_MAX;
/// A pack, in bytes.
pub const PACK_MAX: u64 = 256 << 20;
/// Blobs in one pack, padding included.
pub const PACK_BLOBS_MAX: usize = 1 << 20;
/// Any object that is not a pack or an index segment, as stored.
pub const OBJECT_MAX: u64 = 16 << 20;
/// An index segment, as stored.
pub const SEGMENT_MAX: u64 = 128 << 20;
/// Packs in one index segment.
pub const SEGMENT_PACKS_MAX: usize = 1 << 16;
/// Blobs in one index segment.
pub const SEGMENT_BLOBS_MAX: usize = 1 << 20;
/// Segments that one segment may replace.
pub const SEGMENT_REPLACES_MAX: usize = 1 << 16;
/// Plaintext of one record of a sealed object, in bytes; all but the last are exactly this long.
pub const RECORD_LEN: usize = 64 << 10;
/// Padded plaintext of a small sealed object is never shorter.
pub const PADDING_FLOOR: u64 = 512;
/// A name of an entry: a file's name, or a whole object key.
pub const NAME_MAX: usize = 4096;
/// A symlink's target.
pub const TARGET_MAX: usize = 65_535;
/// User and group names.
pub const OWNER_NAME_MAX: usize = 256;
/// Content up to this length stands in the entry itself.
pub const INLINE_MAX: usize = 128;
/// Items of a file's content that stand in the entry itself.
pub const ITEMS_IN_ENTRY_MAX: usize = 8;
/// Entries in one leaf of a tree, children of one interior node.
pub const NODE_ENTRIES_MAX: usize = 1024;
/// Encoded entries of one node, after which it ends (the entry that crosses it is still in).
pub const NODE_BYTES_MAX: usize = 256 << 10;
/// Levels of a split tree or chunk list above its leaves.
pub const LEVEL_MAX: u8 = 15;
/// Directories within directories that a reader follows.
pub const TREE_DEPTH_MAX: usize = 4096;
/// Tagged extras at the end of one structure.
pub const EXTRAS_MAX: usize = 64;
/// One extra; what is longer is stored as content.
pub const EXTRA_MAX: usize = 4096;
/// Extended attributes of one entry.
pub const XATTRS_MAX: usize = 4096;
/// Name of an extended attribute.
pub const XATTR_NAME_MAX: usize = 255;
/// Value of an extended attribute.
pub const XATTR_VALUE_MAX: usize = 64 << 10;
/// All extended attributes of one entry, encoded, when they are stored as content.
pub const XATTRS_ENCODED_MAX: usize = 1 << 20;
/// Pairs of one kind that an object carries: headers, user metadata, tags.
pub const PAIRS_MAX: usize = 1024;
/// Name in such a pair.
pub const PAIR_NAME_MAX: usize = 1024;
/// Value in such a pair.
pub const PAIR_VALUE_MAX: usize = 4096;
/// Host, user, version and tag strings.
pub const LABEL_MAX: usize = 1024;
/// Tags of one snapshot.
pub const TAGS_MAX: usize = 256;
/// Source paths of one snapshot.
pub const PATHS_MAX: usize = 4096;
/// One source path.
pub const PATH_MAX: usize = 65_535;
/// Troubles named in one run report or snapshot.
pub const TROUBLES_MAX: usize = 1000;
/// A signature, in bytes.
pub const SIGNATURE_MAX: usize = 8192;
/// Key slots.
pub const SLOTS_MAX: usize = 32;
/// Epochs in a keyring.
pub const EPOCHS_MAX: usize = 1024;
/// Epoch records of one closed epoch.
pub const CLOSING_RECORDS_MAX: usize = 100;
/// Objects in one epoch record.
pub const VALID_MAX: usize = 1 << 18;
/// Features that a keyring can require.
pub const FEATURES_MAX: usize = 64;
/// Condemned records that a session has seen, and packs in one condemned record.
pub const CONDEMNED_MAX: usize = 1 << 16;
/// Snapshots in one forgotten record, and snapshots and heads in a run.
pub const RECORDED_MAX: usize = 1 << 16;
/// Argon2id memory, in KiB: what a reader spends on a slot that it does not trust yet.
pub const ARGON2_MEMORY_KIB: std::ops::RangeInclusive<u32> = 8..=(128 << 10);
/// Argon2id passes.
pub const ARGON2_PASSES: std::ops::RangeInclusive<u32> = 1..=64;
/// Argon2id lanes.
pub const ARGON2_LANES: std::ops::RangeInclusive<u32> = 1..=16;
