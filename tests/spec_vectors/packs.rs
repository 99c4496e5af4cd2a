//! Vectors of blobs, packs and index segments.

use super::draft::{Draft, File, extras, hex, id, ids, lineage, secret, signature};
use super::spec;

pub fn files() -> Vec<File> {
    vec![blob_record(), compression(), pack_directory(), pack_trailer(), pack(), index_segment()]
}

fn record(id: &[u8; 32], kind: u8, compression: u8, stored: u32, plain: u32) -> Draft {
    let what = Draft::new().raw("blob id", id).u8("kind", kind).u8("compression", compression);
    what.u32("stored length", stored).u32("plaintext length", plain)
}

fn blob_record() -> File {
    let of = |kind, compression, stored, plain| record(&id("blob"), kind, compression, stored, plain);
    let raw = of(1, 0, 1000, 1000);
    let broken = |kind, compression, stored, plain| of(kind, compression, stored, plain).bytes();
    let over = (16 << 20) + 1;
    File::new("blob_record", "What describes a blob: in directories, in segments, and as associated data.")
        .valid("stored_raw", &[], &raw)
        .valid("compressed", &[], &of(2, 1, 999, 1000))
        .valid("the_longest", &[], &of(1, 0, 16 << 20, 16 << 20))
        .valid("padding_of_no_bytes", &[], &of(4, 0, 0, 0))
        .refuses_other_lengths(&raw)
        .invalid("unknown_kind", "unknown blob kind", &[], &broken(5, 0, 1000, 1000))
        .invalid("kind_0", "unknown blob kind", &[], &broken(0, 0, 1000, 1000))
        .invalid("unknown_compression", "unknown compression 2", &[], &broken(1, 2, 1000, 1000))
        .invalid("raw_of_two_lengths", "lengths that its compression does not give", &[], &broken(1, 0, 999, 1000))
        .invalid("compressed_to_its_length", "lengths that its compression", &[], &broken(1, 1, 1000, 1000))
        .invalid("compressed_padding", "lengths that its compression", &[], &broken(4, 1, 10, 1000))
        .invalid("an_empty_blob", "an empty blob", &[], &broken(1, 0, 0, 0))
        .invalid("plaintext_over_the_limit", "over the limit", &[], &broken(1, 1, 1000, over))
        .invalid("stored_over_the_limit", "over the limit", &[], &broken(1, 0, over, over))
}

/// A zstd frame in one segment that states its length and repeats one byte.
fn frame(len: u8, byte: u8) -> Draft {
    let header = Draft::new().raw("zstd magic", [0x28, 0xb5, 0x2f, 0xfd]).u8("one segment, length in 1 byte", 0x20);
    let block = (u32::from(len) << 3 | 0b011).to_le_bytes();
    header.u8("content size", len).raw("last block: repeat", &block[..3]).u8("repeated byte", byte)
}

fn compression() -> File {
    let plain = frame(100, b'z');
    let bytes = plain.bytes();
    let given = [("plaintext length", 100.to_string()), ("plaintext", hex([b'z'; 100]))];
    let other = [("plaintext length", 101.to_string())];
    let with = |label: &str, with: &[u8]| plain.clone().with(label, with).bytes();
    let descriptor = "one segment, length in 1 byte";
    let windowed = |window| {
        let header =
            Draft::new().raw("magic", [0x28, 0xb5, 0x2f, 0xfd]).u8("length in 4 bytes", 0x80).u8("window", window);
        header.u32("content size", 100).raw("block", &bytes[6..])
    };
    let unsized_frame = [&bytes[..4], &[0x00, 0x00], &bytes[6..]].concat();
    let named = [&bytes[..4], &[0x21, 0x00], &bytes[5..]].concat();
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9];
    File::new("compression", "The stored bytes of a compressed blob.")
        .valid("one_frame", &given, &plain)
        .valid("a_window_of_16_MiB", &given, &windowed(14 << 3))
        .invalid("a_window_over_16_MiB", "window", &given, &windowed(14 << 3 | 1).bytes())
        .invalid("no_content_size", "does not state its plaintext length", &given, &unsized_frame)
        .invalid("another_content_size", "does not state its plaintext length", &other, &bytes)
        .invalid("produces_less_than_it_states", "damaged", &other, &with("content size", &[101]))
        .invalid("names_a_dictionary", "dictionary", &given, &named)
        .invalid("reserved_bit", "does not begin with a zstd frame", &given, &with(descriptor, &[0x28]))
        .invalid("skippable_frame_first", "does not begin", &given, &[&skippable, &bytes[..]].concat())
        .invalid("skippable_frame_behind", "not exactly one", &given, &[&bytes[..], &skippable].concat())
        .invalid("two_frames", "not exactly one", &given, &[&bytes[..], &bytes].concat())
        .invalid("a_byte_behind", "not exactly one", &given, &[&bytes[..], &[0]].concat())
        .invalid("ends_too_early", "not exactly one", &given, &bytes[..bytes.len() - 1])
        .invalid("no_bytes", "does not begin with a zstd frame", &given, &[])
}

fn directory(records: Vec<Draft>) -> Draft {
    let session = Draft::new().raw("session", id("session"));
    let numbered = records.into_iter().enumerate();
    numbered.fold(session, |draft, (at, record)| draft.part(&format!("blobs[{at}]"), record))
}

fn pack_directory() -> File {
    let of = |kind, len| record(&id(&format!("blob of kind {kind}")), kind, 0, len, len);
    let (data_pack, meta_pack) = ([("pack kind", 1.to_string())], [("pack kind", 2.to_string())]);
    let data = directory(vec![of(1, 1000), of(1, 7), of(4, 3)]);
    let bytes = data.bytes();
    let meta = directory(vec![of(2, 1000), of(3, 7), of(4, 0)]);
    let too_long = directory((0..16).map(|_| of(1, 16 << 20)).collect());
    let wrong = "a kind that does not belong in this pack";
    File::new("pack_directory", "The plaintext of a pack's directory.")
        .valid("of_a_data_pack", &data_pack, &data)
        .valid("of_a_metadata_pack", &meta_pack, &meta)
        .valid("of_no_blobs", &data_pack, &directory(vec![]))
        .invalid("ends_within_a_record", "ends too early", &data_pack, &bytes[..bytes.len() - 1])
        .invalid("ends_within_the_session", "ends too early", &data_pack, &bytes[..31])
        .invalid("data_in_a_metadata_pack", wrong, &meta_pack, &bytes)
        .invalid("trees_in_a_data_pack", wrong, &data_pack, &meta.bytes())
        .invalid("a_pack_over_the_limit", "a pack over the limit", &data_pack, &too_long.bytes())
}

fn trailer(directory: u64) -> Draft {
    Draft::new().u64("length of the sealed directory", directory).raw("reserved", [0; 8])
}

fn pack_trailer() -> File {
    let given = [("pack length", 1000.to_string())];
    let unfit = |len| trailer(len).bytes();
    let unfit_rule = "a directory that does not fit its pack";
    File::new("pack_trailer", "The plaintext of a pack's trailer.")
        .valid("of_a_directory_of_two_blobs", &given, &trailer(32 + 84 + 16))
        .valid("of_the_shortest_directory", &given, &trailer(48))
        .valid("of_the_longest_directory", &given, &trailer(1000 - 32 - 52))
        .invalid("directory_shorter_than_any", unfit_rule, &given, &unfit(47))
        .invalid("directory_does_not_fit", unfit_rule, &given, &unfit(1000 - 32 - 51))
        .invalid("directory_of_64_ones", unfit_rule, &given, &unfit(u64::MAX))
        .invalid("pack_shorter_than_a_trailer", unfit_rule, &[("pack length", 31.to_string())], &unfit(48))
        .invalid("reserved_bytes_in_use", "reserved", &given, &trailer(48).with("reserved", [1; 8]).bytes())
        .invalid("ends_too_early", "ends too early", &given, &unfit(48)[..15])
        .invalid("bytes_after_its_end", "bytes after its end", &given, &[&unfit(48)[..], &[0]].concat())
}

/// A pack in the making: blobs as (kind, compression, stored, plaintext), and lies for the invalid ones.
struct Packing {
    clear: Draft,
    object_key: [u8; 32],
    records: Vec<Draft>,
    sealed: Draft,
}

impl Packing {
    fn new() -> Self {
        let clear = spec::prefix(1, 1, 1, &secret("salt"));
        let object_key = spec::object_key(&secret("data"), &id("repository"), &clear.bytes());
        Packing { sealed: clear.clone(), clear, object_key, records: Vec::new() }
    }

    fn seal(&self, associated: &[u8], plain: &[u8]) -> Vec<u8> {
        spec::seal(&self.object_key, spec::at_offset(self.sealed.bytes().len()), associated, plain)
    }

    fn blob(mut self, record: Draft, stored: &[u8]) -> Self {
        let sealed = self.seal(&record.bytes(), stored);
        self.sealed = self.sealed.raw(&format!("sealed blob {}", self.records.len()), sealed);
        self.records.push(record);
        self
    }

    /// The padding blob that a pack of these blobs needs.
    fn padded(self) -> Self {
        let without = self.sealed.bytes().len() + 48 + 42 * self.records.len() + 32;
        let len = spec::padme(without as u64 + 58) as usize - (without + 58);
        let zeros = vec![0; len];
        let name = spec::blob_id(&secret("identity"), 4, &zeros);
        self.blob(record(&name, 4, 0, len as u32, len as u32), &zeros)
    }

    fn finish(self) -> Draft {
        let records = self.records.clone();
        self.finish_with(records)
    }

    fn finish_with(mut self, records: Vec<Draft>) -> Draft {
        let directory = self.seal(b"directory", &directory(records).bytes());
        let len = directory.len() as u64;
        self.sealed = self.sealed.raw("sealed directory", directory);
        let trailer = self.seal(b"trailer", &trailer(len).bytes());
        self.sealed.raw("sealed trailer", trailer)
    }
}

fn named(plain: &[u8], compression: u8, stored: usize) -> Draft {
    let name = spec::blob_id(&secret("identity"), 1, plain);
    record(&name, 1, compression, stored as u32, plain.len() as u32)
}

fn pack() -> File {
    let (hello, zeds, shrunk) = (b"hello", [b'z'; 100], frame(100, b'z').bytes());
    let two = || Packing::new().blob(named(hello, 0, 5), hello).blob(named(&zeds, 1, shrunk.len()), &shrunk);
    let given = [
        ("class key", hex(secret("data"))),
        ("identity", hex(secret("identity"))),
        ("repository", hex(id("repository"))),
        ("pack kind", 1.to_string()),
    ];
    let as_meta = [given[0].clone(), given[1].clone(), given[2].clone(), ("pack kind", 2.to_string())];
    let padded = two().padded().finish();
    assert_eq!(spec::padme(padded.bytes().len() as u64), padded.bytes().len() as u64);
    let bytes = two().finish().bytes();
    let end = bytes.len();
    let flipped = |at: usize| {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        flipped
    };
    let misnamed = Packing::new().blob(named(b"world", 0, 5), hello).finish().bytes();
    let swapped = two();
    let swapped = {
        let records = swapped.records.iter().rev().cloned().collect();
        swapped.finish_with(records).bytes()
    };
    let gap = two();
    let gap = {
        let records = gap.records[..1].to_vec();
        gap.finish_with(records).bytes()
    };
    let unclear = Packing::new();
    assert_eq!(unclear.clear.bytes().len(), 52);
    File::new("pack", "A data pack as it is stored. Its class key is the data key of epoch 1.")
        .valid("two_blobs_and_padding", &given, &padded)
        .valid("two_blobs_without_padding", &given, &two().finish())
        .valid("no_blobs", &given, &unclear.finish())
        .invalid("prefix_was_altered", "not authentic", &given, &flipped(20))
        .invalid("a_blob_was_altered", "blob is not authentic", &given, &flipped(52))
        .invalid("directory_was_altered", "pack directory is not authentic", &given, &flipped(end - 33))
        .invalid("trailer_was_altered", "pack trailer is not authentic", &given, &flipped(end - 1))
        .invalid("end_was_cut", "pack trailer is not authentic", &given, &bytes[..end - 1])
        .invalid("bytes_after_its_end", "pack trailer is not authentic", &given, &[&bytes[..], &[0]].concat())
        .invalid("a_data_pack_is_no_metadata_pack", "another kind of object", &as_meta, &bytes)
        .invalid("blob_id_is_not_its_name", "not the name of its plaintext", &given, &misnamed)
        .invalid("records_in_another_order", "blob is not authentic", &given, &swapped)
        .invalid("blobs_end_before_the_directory", "do not end where it begins", &given, &gap)
}

fn pack_record(id: &[u8; 32], len: u64, class: u32, blobs: u32) -> Draft {
    let what = Draft::new().raw("id", id).u64("length", len).u32("class", class);
    what.u32("blobs", blobs).i64("retain until", 1_900_000_000)
}

fn located(blob: Draft, pack: u32, offset: u64) -> Draft {
    blob.u32("pack", pack).u64("offset", offset)
}

fn segment(replaces: &[[u8; 32]], packs: Vec<Draft>, records: Vec<Draft>) -> Draft {
    let named = lineage(Draft::new().raw("session", id("session"))).ids("replaces", replaces);
    let counted = named.list("packs", packs).u32("blobs", records.len() as u32);
    let header = extras(signature(counted), &[]);
    let segment = Draft::new().u32("header length", header.bytes().len() as u32).part("header", header);
    let numbered = records.into_iter().enumerate();
    numbered.fold(segment, |draft, (at, record)| draft.part(&format!("blobs[{at}]"), record))
}

/// A segment of so many blobs in one pack.
pub fn segment_of(blobs: u32) -> Draft {
    let mut names: Vec<[u8; 32]> = (0..blobs).map(|n| id(&format!("blob {n}"))).collect();
    names.sort();
    let offsets = (0..u64::from(blobs)).map(|n| 52 + n * 116);
    let records = names.iter().zip(offsets).map(|(name, offset)| located(record(name, 1, 0, 100, 100), 0, offset));
    segment(&[], vec![pack_record(&id("pack"), 1 << 20, 0, blobs)], records.collect())
}

fn index_segment() -> File {
    let (packs, blobs) = (ids(&["pack 1", "pack 2"]), ids(&["blob 1", "blob 2"]));
    let two_packs = || vec![pack_record(&packs[0], 1000, 0, 2), pack_record(&packs[1], 400, 1, 1)];
    let data = |blob: usize, pack, offset| located(record(&blobs[blob], 1, 0, 100, 100), pack, offset);
    let tree = |blob: usize, pack, offset| located(record(&blobs[blob], 2, 1, 90, 100), pack, offset);
    let of = |records: Vec<Draft>| segment(&[], two_packs(), records).bytes();
    let rich = segment(&ids(&["old 1", "old 2"]), two_packs(), vec![data(0, 0, 52), data(0, 0, 168), tree(1, 1, 52)]);
    let long_pack = segment(&[], vec![pack_record(&packs[0], (256 << 20) + 1, 0, 0)], vec![]);
    let unsorted: Vec<_> = two_packs().into_iter().rev().collect();
    let with = |label: &str, bytes: u32| rich.clone().with(label, bytes.to_le_bytes()).bytes();
    let order = "blob records that do not ascend";
    let count = "not the number of blob records that it announces";
    let bytes = rich.bytes();
    File::new("index_segment", "The content of an object under index/.")
        .valid("two_packs_and_a_blob_at_two_places", &[], &rich)
        .valid("of_nothing", &[], &segment(&[], vec![], vec![]))
        .invalid("ends_too_early", count, &[], &bytes[..bytes.len() - 1])
        .invalid("bytes_after_its_end", count, &[], &[&bytes[..], &[0]].concat())
        .invalid("another_number_of_records", count, &[], &with("header.blobs", 2))
        .invalid("more_records_than_the_limit", "more blobs than the limit", &[], &with("header.blobs", (1 << 20) + 1))
        .invalid("header_longer_than_the_segment", "ends too early", &[], &with("header length", u32::MAX))
        .invalid("bytes_after_the_header", "bytes after its end", &[], &with("header length", 371))
        .invalid("ids_do_not_ascend", order, &[], &of(vec![data(1, 0, 52), data(0, 0, 168)]))
        .invalid("offsets_do_not_ascend", order, &[], &of(vec![data(0, 0, 168), data(0, 0, 52)]))
        .invalid("a_place_twice", order, &[], &of(vec![data(0, 0, 52), data(0, 0, 52)]))
        .invalid("a_pack_that_is_not_listed", "a pack that it does not list", &[], &of(vec![data(0, 2, 52)]))
        .invalid("a_kind_that_does_not_belong", "does not belong in its pack", &[], &of(vec![data(0, 1, 52)]))
        .invalid("a_blob_past_the_end_of_its_pack", "past the end", &[], &of(vec![data(0, 0, 885)]))
        .invalid("an_offset_of_64_ones", "past the end", &[], &of(vec![data(0, 0, u64::MAX)]))
        .invalid("packs_do_not_ascend", "not strictly ascending", &[], &segment(&[], unsorted, vec![]).bytes())
        .invalid("a_pack_over_the_limit", "a pack over the limit", &[], &long_pack.bytes())
        .invalid(
            "unknown_pack_class",
            "unknown choice 2",
            &[],
            &segment(&[], vec![pack_record(&packs[0], 0, 2, 0)], vec![]).bytes(),
        )
}
