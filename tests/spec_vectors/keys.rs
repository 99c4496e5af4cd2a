//! Vectors of the config, key slots and keyrings.

use argon2::{Algorithm, Argon2, Params, Version};
use x25519_dalek::{PublicKey, StaticSecret};

use super::draft::{Draft, File, extras, hex, id, ids, secret};
use super::spec;

pub fn files() -> Vec<File> {
    vec![config(), key_slot(), keyring(), sealed_keyring(), closing(), epoch_record()]
}

fn config() -> File {
    let clear = Draft::new().raw("magic", b"keepston").u16("version", 1).raw("reserved", [0; 6]);
    let config = clear.raw("repository", id("repository"));
    let with = |label: &str, bytes: &[u8]| config.clone().with(label, bytes).bytes();
    File::new("config", "The object config.")
        .valid("of_a_repository", &[], &config)
        .refuses_other_lengths(&config)
        .invalid("another_magic", "does not begin as", &[], &with("magic", b"restic\0\0"))
        .invalid("version_0", "format version 0", &[], &with("version", &[0, 0]))
        .invalid("newer_version", "format version 2", &[], &with("version", &[2, 0]))
        .invalid("reserved_bytes_in_use", "reserved bytes", &[], &with("reserved", &[0, 0, 0, 0, 0, 1]))
}

fn public(private: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*private)).to_bytes()
}

const PASSPHRASE: &str = "Füße im Meer";

struct Cost {
    memory: u32,
    passes: u32,
    lanes: u32,
}

fn slot_header(cost: &Cost, commitment: &[u8; 32]) -> Draft {
    let clear = Draft::new().raw("magic", b"keepston").u16("version", 1).u8("object kind", 10).u8("slot kind", 1);
    let costed = clear.u32("memory", cost.memory).u32("passes", cost.passes).u32("lanes", cost.lanes);
    let named = costed.raw("repository", id("repository")).raw("salt", secret("slot salt"));
    named.raw("commitment", commitment).raw("public key", public(&secret("private")))
}

/// A slot, made as "Key slots" says.
fn slot(cost: &Cost) -> Draft {
    let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(32)).unwrap();
    let mut root = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(PASSPHRASE.as_bytes(), &secret("slot salt"), &mut root)
        .unwrap();
    let committed = slot_header(cost, &[0; 32]).bytes()[..88].to_vec();
    let header = slot_header(cost, &spec::derive(&root, "keepstone v1 slot commitment", &committed));
    let slot_key = spec::derive(&root, "keepstone v1 slot key", &[]);
    let kept = [secret("private"), secret("auth")].concat();
    let sealed = spec::seal(&slot_key, [0; 12], &header.bytes(), &kept);
    header.raw("sealed secret", sealed)
}

fn key_slot() -> File {
    let given =
        [("passphrase", hex(PASSPHRASE)), ("private key", hex(secret("private"))), ("auth key", hex(secret("auth")))];
    let wrong = [("passphrase", hex("Fuesse im Meer"))];
    let decomposed = [("passphrase", hex("Fu\u{308}ße im Meer"))];
    let cheap = slot(&Cost { memory: 8, passes: 1, lanes: 1 });
    let with = |label: &str, bytes: &[u8]| cheap.clone().with(label, bytes).bytes();
    let costing = |label: &str, cost: u32| with(label, &cost.to_le_bytes());
    let bytes = cheap.bytes();
    let mut altered = bytes.clone();
    altered[231] ^= 1;
    let limits = "Argon2 parameters outside the limits";
    File::new("key_slot", "An object under keys/. The passphrase is UTF-8, here in hex.")
        .valid("of_the_least_cost", &given, &cheap)
        .valid("of_two_passes_and_lanes", &given, &slot(&Cost { memory: 64, passes: 2, lanes: 2 }))
        .refuses_other_lengths(&cheap)
        .invalid("another_magic", "does not begin as", &[], &with("magic", b"keepstom"))
        .invalid("newer_version", "format version 2", &[], &with("version", &[2, 0]))
        .invalid("another_kind_of_object", "another kind of object", &[], &with("object kind", &[9]))
        .invalid("unknown_slot_kind", "unknown slot kind 2", &[], &with("slot kind", &[2]))
        .invalid("memory_over_the_limit", limits, &[], &costing("memory", (128 << 10) + 1))
        .invalid("memory_under_the_limit", limits, &[], &costing("memory", 7))
        .invalid("no_passes", limits, &[], &costing("passes", 0))
        .invalid("passes_over_the_limit", limits, &[], &costing("passes", 65))
        .invalid("no_lanes", limits, &[], &costing("lanes", 0))
        .invalid("lanes_over_the_limit", limits, &[], &costing("lanes", 17))
        .invalid("less_than_8_KiB_a_lane", limits, &[], &costing("lanes", 2))
        .invalid("wrong_passphrase", "wrong password", &wrong, &bytes)
        .invalid("passphrase_in_another_normal_form", "wrong password", &decomposed, &bytes)
        .invalid("commitment_was_altered", "wrong password", &given, &with("commitment", &[0; 32]))
        .invalid("repository_was_altered", "wrong password", &given, &with("repository", &[0; 32]))
        .invalid("cost_was_altered", "wrong password", &given, &costing("passes", 2))
        .invalid("public_key_was_altered", "not authentic", &given, &with("public key", &[9; 32]))
        .invalid("sealed_secret_was_altered", "not authentic", &given, &altered)
}

fn epoch(number: u32, closing: Option<&[u8]>) -> Draft {
    let key = |class: &str| secret(&format!("{class} {number}"));
    let sealing = Draft::new().u32("number", number).raw("data", key("data")).raw("metadata", key("metadata"));
    let closing: Vec<(u32, &[u8])> = closing.into_iter().map(|value| (1, value)).collect();
    extras(sealing.raw("index", key("index")).raw("control", key("control")), &closing)
}

/// The value of the extra that closes an epoch.
fn closed_by(records: &[&str]) -> Draft {
    Draft::new().ids("records", &ids(records))
}

fn closing() -> File {
    let two = closed_by(&["epoch record 1", "epoch record 2"]);
    let sorted = ids(&["epoch record 1", "epoch record 2"]);
    let unsorted = Draft::new().ids("records", &[sorted[1], sorted[0]]);
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    File::new("closing", "The value of extra 1 of a closed epoch.")
        .valid("by_one_record", &[], &closed_by(&["epoch record 1"]))
        .valid("by_two_records", &[], &two)
        .refuses_other_lengths(&two)
        .invalid("no_records", "no epoch records", &[], &closed_by(&[]).bytes())
        .invalid("records_do_not_ascend", "not strictly ascending", &[], &unsorted.bytes())
        .invalid("records_over_the_limit", "over the limit of 100", &[], &closed_by(&many).bytes())
}

fn epoch_record() -> File {
    let record =
        |valid: &[[u8; 32]], tags: &[(u32, &[u8])]| extras(Draft::new().u32("epoch", 1).ids("valid", valid), tags);
    let valid = ids(&["snapshot 1", "segment 1", "run 1"]);
    let plain = record(&valid, &[]);
    let with_count = |count: u32| plain.clone().with("valid count", count.to_le_bytes()).bytes();
    File::new("epoch_record", "The content of an object under epochs/.")
        .valid("of_three_objects", &[], &plain)
        .valid("of_nothing", &[], &record(&[], &[]))
        .refuses_other_lengths(&plain)
        .invalid("valid_does_not_ascend", "not strictly ascending", &[], &record(&[valid[1], valid[0]], &[]).bytes())
        .invalid("valid_over_the_limit", "over the limit of 262144", &[], &with_count((1 << 18) + 1))
        .invalid("count_beyond_the_bytes", "ends too early", &[], &with_count(1 << 18))
        .invalid("must_understand", "must be understood", &[], &record(&valid, &[(1 << 31, b"")]).bytes())
}

fn listed(slot: &[u8; 32], public: &[u8; 32]) -> Draft {
    let named = Draft::new().raw("id", slot).raw("public", public).sized("label", "ada");
    extras(named.time("created", 1_800_000_000, 0), &[])
}

/// The private keys of two slots, in the order of their public keys.
fn privates() -> Vec<[u8; 32]> {
    let mut privates = vec![secret("private"), secret("private 2")];
    privates.sort_by_key(public);
    privates
}

struct Generation {
    number: u32,
    predecessor: Option<[u8; 32]>,
    epochs: Vec<u32>,
    /// What the closed ones have as extra 1, by number.
    closed: Vec<(u32, Vec<u8>)>,
    slots: Vec<[u8; 32]>,
    features: Vec<u32>,
}

impl Generation {
    fn first() -> Self {
        Generation {
            number: 1,
            predecessor: None,
            epochs: vec![1],
            closed: vec![],
            slots: vec![public(&secret("private"))],
            features: vec![],
        }
    }

    fn second() -> Self {
        let slots = privates().iter().map(public).collect();
        let (predecessor, features) = (Some(id("keyring 1")), vec![1, 7]);
        Generation { number: 2, predecessor, epochs: vec![1, 2], closed: vec![], slots, features }
    }

    fn draft(&self) -> Draft {
        let begun = Draft::new().raw("repository", id("repository")).u32("generation", self.number);
        let followed = match self.predecessor {
            None => begun.u8("predecessor", 0),
            Some(predecessor) => begun.u8("predecessor", 1).raw("predecessor id", predecessor),
        };
        let dated = followed.time("created", 1_800_000_000, 0).raw("next auth", secret("next auth"));
        let keyed = dated.raw("identity", secret("identity")).raw("chunking", secret("chunking"));
        let names = ids(&["slot 1", "slot 2"]);
        let slots = names.iter().zip(&self.slots).map(|(name, public)| listed(name, public));
        let closing =
            |number: &u32| self.closed.iter().find(|(closed, _)| closed == number).map(|(_, value)| &value[..]);
        let epochs = self.epochs.iter().map(|number| epoch(*number, closing(number)));
        let slotted = keyed.list("epochs", epochs).list("slots", slots);
        let cut = Draft::new().u32("chunker", 1).u32("min", 1 << 18).u32("avg", 1 << 20).u32("max", 1 << 22);
        let set = slotted.part("settings", cut.u64("pack size", 0));
        let feature = |number: &u32| Draft::new().u32("feature", *number);
        let required = set.list("required to read", self.features.iter().map(feature));
        extras(required.list("required to write", self.features.iter().map(feature)), &[])
    }

    fn bytes(&self) -> Vec<u8> {
        self.draft().bytes()
    }
}

fn keyring() -> File {
    let (first, second) = (Generation::first, Generation::second);
    let plain = first().draft();
    let unfit = "a generation that does not fit its predecessor";
    let gap = "not numbered from 1 without a gap";
    let nanos = plain.clone().with("created.nanos", 1_000_000_000u32.to_le_bytes()).bytes();
    let of = |epochs: Vec<u32>| Generation { epochs, ..second() }.bytes();
    let slots = |slots: Vec<[u8; 32]>| Generation { slots, ..second() }.bytes();
    let value = || closed_by(&["epoch record 1"]).bytes();
    let closed = |closed: Vec<(u32, Vec<u8>)>| Generation { epochs: vec![1, 2, 3], closed, ..second() };
    File::new("keyring", "The content of an object under keyring/.")
        .valid("of_generation_1", &[], &plain)
        .valid("of_generation_2", &[], &second().draft())
        .valid("with_a_closed_epoch", &[], &closed(vec![(1, value())]).draft())
        .valid("with_all_epochs_closed_but_the_current", &[], &closed(vec![(1, value()), (2, value())]).draft())
        .refuses_other_lengths(&plain)
        .invalid("generation_0", unfit, &[], &Generation { number: 0, ..first() }.bytes())
        .invalid("generation_2_without_predecessor", unfit, &[], &Generation { number: 2, ..first() }.bytes())
        .invalid("generation_1_with_predecessor", unfit, &[], &Generation { number: 1, ..second() }.bytes())
        .invalid("no_epochs", "no epoch or no slot", &[], &of(vec![]))
        .invalid("epoch_0", gap, &[], &of(vec![0, 1]))
        .invalid("a_gap_between_epochs", gap, &[], &of(vec![1, 3]))
        .invalid("epochs_do_not_ascend", "not strictly ascending", &[], &of(vec![2, 1]))
        .invalid(
            "the_current_epoch_is_closed",
            "the current epoch is closed",
            &[],
            &closed(vec![(1, value()), (2, value()), (3, value())]).bytes(),
        )
        .invalid("closed_after_one_that_is_open", "after one that is open", &[], &closed(vec![(2, value())]).bytes())
        .invalid("closed_by_no_record", "no epoch records", &[], &closed(vec![(1, closed_by(&[]).bytes())]).bytes())
        .invalid("closed_by_nothing", "ends too early", &[], &closed(vec![(1, vec![])]).bytes())
        .invalid("no_slots", "no epoch or no slot", &[], &slots(vec![]))
        .invalid("two_slots_with_one_public_key", "two slots with one public key", &[], &slots(vec![[9; 32]; 2]))
        .invalid(
            "features_do_not_ascend",
            "not strictly ascending",
            &[],
            &Generation { features: vec![7, 1], ..second() }.bytes(),
        )
        .invalid("nanoseconds_of_a_second", "billion nanoseconds", &[], &nanos)
}

/// How a keyring is sealed; what the invalid ones lie about.
struct Sealing {
    generation: u32,
    privates: Vec<[u8; 32]>,
    content: Vec<u8>,
}

impl Sealing {
    fn draft(&self) -> Draft {
        let clear = spec::prefix(9, 3, self.generation, &secret("salt"));
        let prefix = clear.bytes();
        let ephemeral = StaticSecret::from(secret("ephemeral"));
        let ephemeral_public = PublicKey::from(&ephemeral).to_bytes();
        let counted = clear.raw("ephemeral public key", ephemeral_public).u16("count", self.privates.len() as u16);
        let header = self.privates.iter().map(public).enumerate().fold(counted, |draft, (at, public)| {
            let shared = ephemeral.diffie_hellman(&PublicKey::from(public)).to_bytes();
            let bound_to = [&ephemeral_public[..], &public, &prefix].concat();
            let wrapping_key = spec::derive(&shared, "keepstone v1 keyring wrap", &bound_to);
            let wrapped = spec::seal(&wrapping_key, [0; 12], &[], &secret("file key"));
            draft.part(&format!("stanza {at}"), Draft::new().raw("public key", public).raw("wrapped file key", wrapped))
        });
        let bound_to = [&secret("auth")[..], &header.bytes()].concat();
        let keyring_key = spec::derive(&secret("file key"), "keepstone v1 keyring key", &bound_to);
        let records = spec::records(&keyring_key, &spec::pad(&self.content)).into_iter().enumerate();
        records.fold(header, |draft, (at, record)| draft.raw(&format!("record {at}"), record))
    }
}

fn sealed_keyring() -> File {
    let given = |private: &str, auth: &str| {
        [("private key", hex(secret(private))), ("auth key", hex(secret(auth))), ("file key", hex(secret("file key")))]
    };
    let (ours, other) = (given("private", "auth"), given("private 2", "auth"));
    let sealing = || Sealing { generation: 2, privates: privates(), content: Generation::second().bytes() };
    let plain = sealing().draft();
    let with = |label: &str, bytes: &[u8]| plain.clone().with(label, bytes).bytes();
    let unsorted = Sealing { privates: privates().into_iter().rev().collect(), ..sealing() }.draft().bytes();
    let generation_3 = Sealing { generation: 3, ..sealing() }.draft().bytes();
    let without_epochs = Generation { epochs: vec![], ..Generation::second() }.bytes();
    let malformed = Sealing { content: without_epochs, ..sealing() }.draft().bytes();
    let many = Sealing { privates: (0..33).map(|n| secret(&format!("private {n}"))).collect(), ..sealing() };
    let (bytes, last) = (plain.bytes(), plain.bytes().len() - 1);
    let not_ours = if privates()[0] == secret("private") { 1 } else { 0 };
    File::new("sealed_keyring", "A keyring as it is stored, opened with a slot's private key and an auth key.")
        .valid("opened_by_its_first_slot", &ours, &plain)
        .valid("opened_by_its_second_slot", &other, &plain)
        .invalid("another_auth_key", "not authentic", &given("private", "next auth"), &bytes)
        .invalid("sealed_for_others", "not authentic", &given("private 3", "auth"), &bytes)
        .invalid("prefix_was_altered", "not authentic", &ours, &with("salt", &[0; 32]))
        .invalid("ephemeral_key_was_altered", "not authentic", &ours, &with("ephemeral public key", &[9; 32]))
        .invalid("ephemeral_key_of_low_order", "not authentic", &ours, &with("ephemeral public key", &[0; 32]))
        .invalid(
            "another_slots_stanza_was_altered",
            "not authentic",
            &ours,
            &with(&format!("stanza {not_ours}.wrapped file key"), &[0; 48]),
        )
        .invalid("a_record_was_cut", "not authentic", &ours, &bytes[..last])
        .invalid("no_stanzas", "0 stanzas", &ours, &with("count", &[0, 0]))
        .invalid("stanzas_over_the_limit", "33 stanzas", &ours, &many.draft().bytes())
        .invalid("stanzas_do_not_ascend", "stanzas that do not ascend", &ours, &unsorted)
        .invalid("generation_is_not_the_envelopes", "not its envelope's", &ours, &generation_3)
        .invalid("content_is_no_keyring", "no epoch or no slot", &ours, &malformed)
        .invalid("ends_within_a_stanza", "ends too early", &ours, &bytes[..150])
}
