//! Vectors of control objects: their content, before padding and sealing.

use super::draft::{Draft, File, extras, id, ids, lineage, secret, signature};
use super::trees::tree_ref;

const MUST_UNDERSTAND: u32 = 1 << 31;

pub fn files() -> Vec<File> {
    vec![session(), snapshot(), condemned(), forgotten(), run()]
}

/// The shortest session that says something.
pub fn tiny_session() -> Draft {
    session_of(0, "host", &[])
}

fn session_of(kind: u32, host: &str, seen: &[[u8; 32]]) -> Draft {
    let who = Draft::new().u32("kind", kind).sized("host", host).u32("process", 4711);
    let began = who.time("started", 1_800_000_000, 5).ids("seen", seen);
    extras(began.sized("program", "keepstone 1"), &[])
}

fn session() -> File {
    let seen = ids(&["a", "b", "c"]);
    let tiny = tiny_session();
    let unsorted = session_of(0, "host", &[seen[1], seen[0]]).bytes();
    let twice = session_of(0, "host", &[seen[0], seen[0]]).bytes();
    let long_host = "h".repeat(1025);
    File::new("session", "The content of an object under sessions/.")
        .valid("of_a_backup", &[], &tiny)
        .valid("of_a_prune_that_has_seen_records", &[], &session_of(1, "höst", &seen))
        .refuses_other_lengths(&tiny)
        .invalid("unknown_kind", "unknown choice 4", &[], &session_of(4, "host", &[]).bytes())
        .invalid("host_is_not_utf8", "text is not UTF-8", &[], &tiny.clone().with("host", b"h\xffst").bytes())
        .invalid("host_over_the_limit", "over the limit of 1024", &[], &session_of(0, &long_host, &[]).bytes())
        .invalid("length_of_32_ones", "over the limit", &[], &tiny.clone().with("host length", [0xff; 4]).bytes())
        .invalid("count_of_32_ones", "over the limit", &[], &tiny.clone().with("seen count", [0xff; 4]).bytes())
        .invalid(
            "count_beyond_the_bytes",
            "ends too early",
            &[],
            &tiny.clone().with("seen count", [0, 0, 1, 0]).bytes(),
        )
        .invalid("seen_does_not_ascend", "not strictly ascending", &[], &unsorted)
        .invalid("seen_twice", "not strictly ascending", &[], &twice)
        .invalid("nanoseconds_of_a_second", "billion nanoseconds", &[], &tiny.with("started.nanos", billion()).bytes())
}

fn billion() -> [u8; 4] {
    1_000_000_000u32.to_le_bytes()
}

fn summary(draft: Draft) -> Draft {
    let names = [
        "files_new",
        "files_changed",
        "files_unmodified",
        "dirs",
        "others",
        "bytes_processed",
        "bytes_read",
        "blobs_added",
        "bytes_added",
        "bytes_stored",
        "troubles",
    ];
    let numbered = names.into_iter().zip(1..);
    draft.part("summary", numbered.fold(Draft::new(), |draft, (name, value)| draft.u64(name, value)))
}

struct Shot<'a> {
    state: u32,
    paths: &'a [&'a str],
    tags: &'a [&'a str],
    parent: Option<[u8; 32]>,
    extras: &'a [(u32, &'a [u8])],
}

const PLAIN: Shot<'static> = Shot { state: 0, paths: &["/srv"], tags: &[], parent: None, extras: &[] };

fn shot(of: &Shot<'_>) -> Draft {
    let text = |text: &&str| Draft::new().sized("text", text);
    let begun = lineage(Draft::new().raw("session", id("session"))).u32("state", of.state);
    let timed = begun.time("time", 1_800_000_000, 0).time("finished", 1_800_000_060, 999_999_999);
    let named = timed.sized("component", "files").sized("host", "host").sized("user", "root");
    let asked = named.list("paths", of.paths.iter().map(text)).list("tags", of.tags.iter().map(text));
    let parented = match of.parent {
        None => asked.u8("parent", 0),
        Some(parent) => asked.u8("parent", 1).raw("parent id", parent),
    };
    let done = summary(parented.part("root", tree_ref("root", 0, 1, 5)));
    extras(signature(done.sized("program", "keepstone 1")), of.extras)
}

fn snapshot() -> File {
    let plain = shot(&PLAIN);
    let rich = Shot {
        state: 1,
        paths: &["/etc", "/srv"],
        tags: &["nightly", "vor dem Umzug"],
        parent: Some(id("parent")),
        extras: &[(7, b"kept"), (8, b"kept too")],
    };
    let of = |of: Shot<'_>| shot(&of).bytes();
    let unsigned = |label: &str, bytes: &[u8]| plain.clone().with(label, bytes).bytes();
    let signed = plain.clone().with("signature.bytes length", [1, 0, 0, 0]).with("signature.bytes", [9]);
    let foreign = signed.clone().with("signature.algorithm", [1, 0, 0, 0]);
    let too_many: Vec<String> = (0..257).map(|n| format!("{n:03}")).collect();
    let too_many: Vec<&str> = too_many.iter().map(|tag| &tag[..]).collect();
    File::new("snapshot", "The content of an object under snapshots/.")
        .valid("without_a_parent", &[], &plain)
        .valid("with_parent_tags_and_extras", &[], &shot(&rich))
        .valid("signed_by_an_unknown_algorithm", &[], &foreign)
        .valid("copied_from_another_repository", &[], &shot(&Shot { extras: &[(1, &id("original"))], ..PLAIN }))
        .refuses_other_lengths(&plain)
        .invalid("copied_from_what_is_no_id", "not 32 bytes long", &[], &of(Shot { extras: &[(1, &[7; 31])], ..PLAIN }))
        .invalid("unknown_state", "unknown choice 3", &[], &of(Shot { state: 3, ..PLAIN }))
        .invalid("paths_do_not_ascend", "not strictly ascending", &[], &of(Shot { paths: &["/b", "/a"], ..PLAIN }))
        .invalid("tags_do_not_ascend", "not strictly ascending", &[], &of(Shot { tags: &["b", "a"], ..PLAIN }))
        .invalid("a_tag_twice", "not strictly ascending", &[], &of(Shot { tags: &["a", "a"], ..PLAIN }))
        .invalid("tags_over_the_limit", "over the limit of 256", &[], &of(Shot { tags: &too_many, ..PLAIN }))
        .invalid("option_is_neither_0_nor_1", "unknown choice 2", &[], &unsigned("parent", &[2]))
        .invalid("root_deeper_than_the_limit", "deeper than the limit", &[], &unsigned("root.level", &[16]))
        .invalid("nanoseconds_of_a_second", "billion nanoseconds", &[], &unsigned("finished.nanos", &billion()))
        .invalid("signature_under_no_algorithm", "signature under no algorithm", &[], &signed.bytes())
        .invalid(
            "extras_do_not_ascend",
            "not strictly ascending",
            &[],
            &of(Shot { extras: &[(2, b""), (1, b"")], ..PLAIN }),
        )
        .invalid(
            "extra_that_must_be_understood",
            "must be understood",
            &[],
            &of(Shot { extras: &[(MUST_UNDERSTAND | 7, b"")], ..PLAIN }),
        )
        .invalid("an_extra_twice", "not strictly ascending", &[], &of(Shot { extras: &[(1, b""), (1, b"")], ..PLAIN }))
        .invalid("extra_over_the_limit", "limit of 4096", &[], &of(Shot { extras: &[(1, &[0; 4097])], ..PLAIN }))
}

fn condemned() -> File {
    let record = |packs: &[[u8; 32]]| {
        let named = lineage(Draft::new().raw("session", id("session"))).ids("packs", packs);
        extras(signature(named), &[])
    };
    let packs = ids(&["pack 1", "pack 2"]);
    let plain = record(&packs);
    File::new("condemned_record", "The content of an object under condemned/.")
        .valid("of_two_packs", &[], &plain)
        .refuses_other_lengths(&plain)
        .invalid("no_packs", "no packs", &[], &record(&[]).bytes())
        .invalid("packs_do_not_ascend", "not strictly ascending", &[], &record(&[packs[1], packs[0]]).bytes())
}

fn forgotten() -> File {
    let record = |snapshots: &[[u8; 32]], nanos| {
        let named = lineage(Draft::new()).ids("snapshots", snapshots).time("time", -1, nanos);
        let why = named.sized("host", "host").sized("user", "root").sized("why", "keep-last 7");
        extras(signature(why), &[])
    };
    let snapshots = ids(&["snapshot 1", "snapshot 2"]);
    let plain = record(&snapshots, 999_999_999);
    File::new("forgotten_record", "The content of an object under forgotten/.")
        .valid("of_two_snapshots_before_1970", &[], &plain)
        .refuses_other_lengths(&plain)
        .invalid("no_snapshots", "no snapshots", &[], &record(&[], 0).bytes())
        .invalid("a_snapshot_twice", "not strictly ascending", &[], &record(&[snapshots[0]; 2], 0).bytes())
        .invalid("nanoseconds_of_a_second", "billion nanoseconds", &[], &record(&snapshots, 1_000_000_000).bytes())
}

fn run() -> File {
    let record = |status, troubles: usize| {
        let begun = lineage(Draft::new().raw("session", secret("session"))).sized("host", "host");
        let ended = begun.time("started", 1_800_000_000, 0).time("finished", 1_800_000_060, 0).u32("status", status);
        let made = ended.ids("snapshots", &[id("snapshot 1")]).ids("heads", &ids(&["snapshot 1", "snapshot 2"]));
        let trouble = Draft::new().sized("text", "/srv/x: permission denied");
        let told = made.list("troubles", std::iter::repeat_n(trouble, troubles));
        extras(signature(summary(told)), &[])
    };
    let plain = record(1, 2);
    File::new("run", "The content of an object under runs/.")
        .valid("with_troubles", &[], &plain)
        .refuses_other_lengths(&plain)
        .invalid("unknown_status", "unknown choice 3", &[], &record(3, 0).bytes())
        .invalid("nanoseconds_of_a_second", "billion nanoseconds", &[], &plain.with("started.nanos", billion()).bytes())
}
