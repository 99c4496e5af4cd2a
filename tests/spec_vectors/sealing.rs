//! Vectors of the envelope, padding, names and sealed objects.

use super::control;
use super::draft::{Draft, File, hex, id, secret};
use super::packs;
use super::spec;

pub fn files() -> Vec<File> {
    vec![envelope(), padme(), padding(), blob_name(), split_hash(), sealed_session(), sealed_segment()]
}

fn envelope() -> File {
    let snapshot = spec::prefix(4, 1, 1, &secret("salt"));
    let with = |label: &str, bytes: &[u8]| snapshot.clone().with(label, bytes).bytes();
    File::new("envelope", "The clear prefix of a sealed object.")
        .valid("of_a_snapshot", &[], &snapshot)
        .valid("of_a_keyring_of_generation_7", &[], &spec::prefix(9, 3, 7, &secret("salt")))
        .invalid("another_magic", "does not begin as a keepstone object does", &[], &with("magic", b"keepstom"))
        .invalid("version_0", "format version 0", &[], &with("version", &[0, 0]))
        .invalid("newer_version", "format version 2", &[], &with("version", &[2, 0]))
        .invalid("unknown_kind", "unknown object kind 12", &[], &with("kind", &[12]))
        .invalid("kind_0", "unknown object kind 0", &[], &with("kind", &[0]))
        .invalid("a_key_slot_is_no_sealed_object", "unknown object kind 10", &[], &with("kind", &[10]))
        .invalid("unknown_key_mode", "unknown key mode 2", &[], &with("key mode", &[2]))
        .invalid("a_snapshot_sealed_to_slots", "a key mode that this kind", &[], &with("key mode", &[3]))
        .invalid("a_symmetric_keyring", "a key mode that this kind", &[], &with("kind", &[9]))
        .invalid("unknown_domain", "unknown domain 1", &[], &with("domain", &[1, 0, 0, 0]))
        .invalid("ends_too_early", "ends too early", &[], &snapshot.bytes()[..51])
}

fn padme() -> File {
    let lens = [0, 1, 2, 3, 7, 8, 9, 100, 512, 513, 520, 1000, 65_536, 65_537, (256 << 20) - 1, 1 << 30];
    let file = File::new("padme", "padme(len), as u64.");
    lens.into_iter().fold(file, |file, len: u64| {
        file.plain(&format!("of_{len}"), &[("len", len.to_string())], &spec::padme(len).to_le_bytes())
    })
}

fn padding() -> File {
    let padded = |content: &[u8]| {
        let bytes = spec::pad(content);
        let (len, rest) = bytes.split_at(8);
        let (content, zeros) = rest.split_at(content.len());
        Draft::new().raw("content length", len).raw("content", content).raw("zeros", zeros)
    };
    let short = padded(b"content");
    let with_len = |len: u64| short.clone().with("content length", len.to_le_bytes()).bytes();
    let mut marked = short.bytes();
    *marked.last_mut().unwrap() = 1;
    File::new("padding", "The padded plaintext of a sealed object that is no pack.")
        .valid("of_nothing", &[], &padded(b""))
        .valid("to_the_floor", &[], &short)
        .valid("exactly_the_floor", &[], &padded(&[7; 504]))
        .valid("above_the_floor", &[], &padded(&[7; 505]))
        .invalid("not_zeros", "not the padding that the content calls for", &[], &marked)
        .invalid("longer_than_called_for", "not the padding", &[], &[&short.bytes()[..], &[0; 8]].concat())
        .invalid("shorter_than_called_for", "not the padding", &[], &short.bytes()[..511])
        .invalid("content_longer_than_the_object", "content longer than its object", &[], &with_len(505))
        .invalid("content_length_of_64_ones", "content longer than its object", &[], &with_len(u64::MAX))
        .invalid("ends_too_early", "ends too early", &[], &[0; 7])
}

fn blob_name() -> File {
    let identity = secret("identity");
    let file = File::new("blob_name", "The id of the blob with this kind and plaintext.");
    [(1, &b"hello"[..]), (2, b"hello"), (3, b"hello"), (4, &[0; 5]), (4, b"")].into_iter().fold(
        file,
        |file, (kind, plain)| {
            let given = [("identity", hex(identity)), ("kind", kind.to_string()), ("plaintext", hex(plain))];
            file.plain(
                &format!("of_{}_bytes_as_kind_{kind}", plain.len()),
                &given,
                &spec::blob_id(&identity, kind, plain),
            )
        },
    )
}

fn split_hash() -> File {
    let chunking = secret("chunking");
    let file = File::new("split_hash", "split_hash(level, item), as u32. A split follows where the first byte is 0.");
    // A name that is followed by a split: the first that has it.
    let splits = |name: &String| spec::split_hash(&chunking, 0, name.as_bytes())[0] == 0;
    let splitting = (0..).map(|n| format!("name {n}")).find(splits).unwrap();
    let cases = [("a_name", 0, "name"), ("level_1", 1, "name"), ("no_name", 0, ""), ("a_split", 0, &splitting)];
    cases.into_iter().fold(file, |file, (name, level, item)| {
        let given = [("chunking", hex(chunking)), ("level", level.to_string()), ("item", hex(item))];
        file.plain(name, &given, &spec::split_hash(&chunking, level, item.as_bytes()))
    })
}

/// A sealed object with its prefix and records, and what opens it.
struct Example {
    clear: Draft,
    object_key: [u8; 32],
    repository: [u8; 32],
    class_key: [u8; 32],
}

impl Example {
    fn new(kind: u8, class: &str) -> Self {
        let (class_key, repository) = (secret(class), id("repository"));
        let clear = spec::prefix(kind, 1, 2, &secret("salt"));
        let object_key = spec::object_key(&class_key, &repository, &clear.bytes());
        Example { clear, object_key, repository, class_key }
    }

    fn given<'a>(&self, class: &'a str) -> Vec<(&'a str, String)> {
        vec![(class, hex(self.class_key)), ("repository", hex(self.repository))]
    }

    fn sealed(&self, padded: &[u8]) -> Draft {
        let records = spec::records(&self.object_key, padded);
        let numbered = records.into_iter().enumerate();
        numbered.fold(self.clear.clone(), |draft, (at, record)| draft.raw(&format!("record {at}"), record))
    }
}

fn sealed_session() -> File {
    let example = Example::new(7, "control");
    let content = control::tiny_session().bytes();
    let padded = spec::pad(&content);
    let sealed = example.sealed(&padded);
    let bytes = sealed.bytes();
    let mut given = example.given("control");
    let flipped = |at: usize| {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        flipped
    };
    let mut elsewhere = given.clone();
    elsewhere[1].1 = hex(id("another repository"));
    let as_snapshot = {
        let snapshot = Example::new(4, "control");
        snapshot.sealed(&padded).bytes()
    };
    let of_epoch_3 = sealed.clone().with("epoch", 3u32.to_le_bytes()).bytes();
    let not_last = {
        let mut record = spec::seal(&example.object_key, [0; 12], &[], &padded);
        let mut bytes = example.clear.bytes();
        bytes.append(&mut record);
        bytes
    };
    let unpadded = example.sealed(&content).bytes();
    let malformed = example.sealed(&spec::pad(&content[1..])).bytes();
    let file = File::new("sealed_session", "A session as it is stored. Its class key is the control key of epoch 2.")
        .invalid("prefix_was_altered", "not authentic", &given, &flipped(20))
        .invalid("record_was_altered", "not authentic", &given, &flipped(52))
        .invalid("tag_was_altered", "not authentic", &given, &flipped(bytes.len() - 1))
        .invalid("a_byte_was_cut", "not authentic", &given, &bytes[..bytes.len() - 1])
        .invalid("a_byte_was_added", "not authentic", &given, &[&bytes[..], &[0]].concat())
        .invalid("no_records", "not authentic", &given, &bytes[..52])
        .invalid("sealed_for_another_repository", "not authentic", &elsewhere, &bytes)
        .invalid("a_snapshot_is_no_session", "another kind of object", &given, &as_snapshot)
        .invalid("unknown_epoch", "epoch 3", &given, &of_epoch_3)
        .invalid("last_record_is_not_flagged", "not authentic", &given, &not_last)
        .invalid("not_padded", "padding", &given, &unpadded)
        .invalid("content_is_no_session", "session", &given, &malformed);
    given.push(("object key", hex(example.object_key)));
    given.push(("content", hex(&content)));
    file.valid("of_one_record", &given, &sealed)
}

fn sealed_segment() -> File {
    let example = Example::new(3, "index");
    let given = example.given("index");
    let content = packs::segment_of(1300).bytes();
    let bytes = example.sealed(&spec::pad(&content)).bytes();
    let (prefix, first, second) = ((0, 52), (52, 52 + 65_552), (52 + 65_552, bytes.len()));
    File::new("sealed_segment", "An index segment of more than one record. Its class key is the index key of epoch 2.")
        .plain("of_two_records", &given, &bytes)
        .ranges("last_record_was_cut", "not authentic", &given, &[prefix, first])
        .ranges("first_record_was_cut", "not authentic", &given, &[prefix, second])
        .ranges("records_were_exchanged", "not authentic", &given, &[prefix, second, first])
}
