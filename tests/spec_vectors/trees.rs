//! Vectors of trees and content.

use super::draft::{Draft, File, extras, id};

pub fn files() -> Vec<File> {
    vec![
        tree_node(),
        list_node(),
        content(),
        extended_attributes(),
        hard_link_identity(),
        pairs(),
        beginning_of_a_file(),
    ]
}

pub fn tree_ref(label: &str, level: u8, entries: u64, bytes: u64) -> Draft {
    Draft::new().raw("id", id(label)).u8("level", level).u64("entries", entries).u64("bytes", bytes)
}

fn list_ref(label: &str, level: u8, items: u64, bytes: u64) -> Draft {
    Draft::new().raw("id", id(label)).u8("level", level).u64("items", items).u64("bytes", bytes)
}

fn data(label: &str, len: u32) -> Draft {
    Draft::new().u32("choice data", 0).raw("id", id(label)).u32("length", len)
}

fn hole(len: u64) -> Draft {
    Draft::new().u32("choice hole", 1).u64("length", len)
}

fn inline(size: u64, bytes: &[u8]) -> Draft {
    Draft::new().u64("size", size).u32("choice inline", 0).sized("bytes", bytes)
}

fn items(size: u64, items: Vec<Draft>) -> Draft {
    Draft::new().u64("size", size).u32("choice items", 1).list("items", items)
}

fn split(size: u64, list: Draft) -> Draft {
    Draft::new().u64("size", size).u32("choice split", 2).part("list", list)
}

fn key(name: &str, discriminator: u64) -> Draft {
    Draft::new().sized("name", name).u64("discriminator", discriminator)
}

fn meta() -> Draft {
    let owned =
        Draft::new().u32("mode", 0o644).u32("uid", 1000).u32("gid", 100).sized("user", "ada").sized("group", "");
    owned.time("mtime", 1_700_000_000, 123_456_789).time("ctime", 1_700_000_001, 0).u64("inode", 42)
}

fn entry(name: &str, node: Draft) -> Draft {
    entry_with(name, 0, node, &[])
}

fn entry_with(name: &str, discriminator: u64, node: Draft, tags: &[(u32, &[u8])]) -> Draft {
    extras(Draft::new().part("key", key(name, discriminator)).part("node", node).part("meta", meta()), tags)
}

fn file(content: Draft) -> Draft {
    Draft::new().u32("choice file", 0).part("content", content)
}

fn hello() -> Draft {
    file(inline(5, b"hello"))
}

fn directory(tree: Draft) -> Draft {
    Draft::new().u32("choice directory", 1).part("tree", tree)
}

fn bare(choice: &str, number: u32) -> Draft {
    Draft::new().u32(choice, number)
}

fn device(choice: &str, number: u32) -> Draft {
    Draft::new().u32(choice, number).u32("major", 8).u32("minor", 1)
}

fn leaf(entries: Vec<Draft>) -> Draft {
    Draft::new().u32("choice leaf", 0).list("entries", entries)
}

fn child(name: &str, tree: Draft) -> Draft {
    Draft::new().part("last", key(name, 0)).part("tree", tree)
}

fn interior(children: Vec<Draft>) -> Draft {
    Draft::new().u32("choice interior", 1).list("children", children)
}

/// One entry of every kind, with the extras that version 1 knows.
fn of_every_kind() -> Draft {
    let attributes = xattrs(&[("user.comment", b"fine")]).bytes();
    let linked = hard_link().bytes();
    let stored = items(5000, vec![data("attributes", 5000)]).bytes();
    let symlink = bare("choice symlink", 2).sized("target", "../elsewhere");
    leaf(vec![
        entry("a block device", device("choice block device", 6)),
        entry("a char device", device("choice char device", 5)),
        entry("a directory", directory(tree_ref("directory", 3, 100_000, 1 << 40))),
        entry("a fifo", bare("choice fifo", 3)),
        entry_with("a file", 0, hello(), &[(1, &attributes), (3, &linked)]),
        entry_with("a file", 1, file(items(200, vec![hole(100), data("data", 100)])), &[(2, &stored)]),
        entry("a socket", bare("choice socket", 4)),
        entry("a symlink", symlink),
        entry("b", file(split(9 << 20, list_ref("list", 0, 9, 9 << 20)))),
    ])
}

/// The extra of a file of 5 MB.
const BEGUN: (u32, &[u8]) = (0x8000_0001, &5_000_000u64.to_le_bytes());

/// As a checkpoint has it: the first two chunks of that file.
fn a_beginning() -> Draft {
    leaf(vec![entry_with("a", 0, file(items(300, vec![data("a", 200), data("b", 100)])), &[BEGUN])])
}

fn tree_node() -> File {
    let one = leaf(vec![entry("a", hello())]);
    let with = |label: &str, bytes: &[u8]| one.clone().with(label, bytes).bytes();
    let two = |a: Draft, b: Draft| leaf(vec![a, b]).bytes();
    let pair = |a: &str, b: &str| two(entry(a, hello()), entry(b, hello()));
    let children = |a: Draft, b: Draft| interior(vec![a, b]);
    let small = |name: &str| child(name, tree_ref(name, 0, 3, 15));
    let in_directory = |tree: Draft| leaf(vec![entry("d", directory(tree))]).bytes();
    let endless = || entry("d", directory(tree_ref("d", 0, u64::MAX - 1, 0)));
    let huge = |name: &str| child(name, tree_ref(name, 0, 1, u64::MAX));
    let attributes = xattrs(&[]).bytes();
    let twice = entry_with("a", 0, hello(), &[(1, &attributes), (2, &inline(0, b"").bytes())]);
    let name_of_4097 = "n".repeat(4097);
    File::new("tree_node", "The plaintext of a tree blob.")
        .valid("an_empty_directory", &[], &leaf(vec![]))
        .valid("one_file", &[], &one)
        .valid("every_kind_of_entry", &[], &of_every_kind())
        .valid("the_beginning_of_a_file", &[], &a_beginning())
        .valid("interior", &[], &children(small("m"), child("z", tree_ref("z", 1, 300, 0))))
        .refuses_other_lengths(&one)
        .invalid("unknown_choice", "unknown choice 2", &[], &with("choice leaf", &[2, 0, 0, 0]))
        .invalid("unknown_kind_of_entry", "unknown choice 7", &[], &leaf(vec![entry("a", bare("choice", 7))]).bytes())
        .invalid("an_entry_without_a_name", "without a name", &[], &leaf(vec![entry("", hello())]).bytes())
        .invalid("names_do_not_ascend", "names that do not ascend", &[], &pair("b", "a"))
        .invalid("a_name_twice", "names that do not ascend", &[], &pair("a", "a"))
        .invalid("a_prefix_comes_second", "names that do not ascend", &[], &pair("aa", "a"))
        .invalid(
            "discriminators_do_not_ascend",
            "names that do not ascend",
            &[],
            &two(entry_with("a", 1, hello(), &[]), entry_with("a", 0, hello(), &[])),
        )
        .invalid("name_over_the_limit", "limit of 4096", &[], &leaf(vec![entry(&name_of_4097, hello())]).bytes())
        .invalid("entries_over_the_limit", "limit of 1024", &[], &with("entries count", &[1, 4, 0, 0]))
        .invalid("mode_over_the_limit", "mode bits", &[], &with("entries[0].meta.mode", &0o10000u32.to_le_bytes()))
        .invalid("nanoseconds_of_a_second", "billion", &[], &with("entries[0].meta.mtime.nanos", &[0, 202, 154, 59]))
        .invalid("user_is_not_utf8", "not UTF-8", &[], &with("entries[0].meta.user", b"ad\xff"))
        .invalid("attributes_twice", "extended attributes twice", &[], &leaf(vec![twice]).bytes())
        .invalid(
            "size_is_not_the_content",
            "size 6 but content of 5 bytes",
            &[],
            &with("entries[0].node.content.size", &6u64.to_le_bytes()),
        )
        .invalid("directory_deeper_than_the_limit", "deeper than", &[], &in_directory(tree_ref("d", 16, 1, 0)))
        .invalid("totals_over_64_bits", "over 64 bits", &[], &two(endless(), entry("e", hello())))
        .invalid("interior_without_children", "fewer than two children", &[], &interior(vec![]).bytes())
        .invalid("interior_with_one_child", "fewer than two children", &[], &interior(vec![small("a")]).bytes())
        .invalid("children_do_not_ascend", "names that do not ascend", &[], &children(small("b"), small("a")).bytes())
        .invalid(
            "child_deeper_than_the_limit",
            "deeper than the limit",
            &[],
            &children(small("a"), child("b", tree_ref("b", 15, 9, 9))).bytes(),
        )
        .invalid("totals_of_children_over_64_bits", "over 64 bits", &[], &children(huge("a"), huge("b")).bytes())
}

fn list_node() -> File {
    let leaf = |items: Vec<Draft>| Draft::new().u32("choice leaf", 0).list("items", items);
    let interior = |children: Vec<Draft>| Draft::new().u32("choice interior", 1).list("children", children);
    let plain = leaf(vec![data("a", 4096), hole(1 << 40), data("b", 16 << 20)]);
    let small = |label: &str| list_ref(label, 0, 100, 1000);
    let over = plain.clone().with("items count", [1, 4, 0, 0]);
    let endless = interior(vec![list_ref("a", 0, 1, u64::MAX), small("b")]);
    File::new("list_node", "The plaintext of a list blob.")
        .valid("a_leaf", &[], &plain)
        .valid("interior", &[], &interior(vec![small("a"), list_ref("b", 1, 2000, 20_000)]))
        .refuses_other_lengths(&plain)
        .invalid("unknown_choice", "unknown choice 2", &[], &plain.clone().with("choice leaf", [2, 0, 0, 0]).bytes())
        .invalid("unknown_item", "unknown choice 2", &[], &leaf(vec![bare("choice", 2)]).bytes())
        .invalid("empty_leaf", "an empty leaf", &[], &leaf(vec![]).bytes())
        .invalid("interior_with_one_child", "fewer than two children", &[], &interior(vec![small("a")]).bytes())
        .invalid(
            "child_deeper_than_the_limit",
            "deeper than the limit",
            &[],
            &interior(vec![small("a"), list_ref("b", 15, 9, 9)]).bytes(),
        )
        .invalid("items_over_the_limit", "over the limit of 1024", &[], &over.bytes())
        .invalid("data_of_no_bytes", "a data item of 0 bytes", &[], &leaf(vec![data("a", 0)]).bytes())
        .invalid("data_over_the_limit", "a data item of", &[], &leaf(vec![data("a", (16 << 20) + 1)]).bytes())
        .invalid("hole_of_no_bytes", "a hole of no bytes", &[], &leaf(vec![hole(0)]).bytes())
        .invalid("size_over_64_bits", "over 64 bits", &[], &leaf(vec![hole(u64::MAX), hole(1)]).bytes())
        .invalid("totals_over_64_bits", "over 64 bits", &[], &endless.bytes())
}

fn content() -> File {
    let plain = inline(5, b"hello");
    let data_of = |size, len| items(size, vec![data("a", len)]).bytes();
    let nine = (0..9).map(|_| data("a", 100)).collect();
    let sized = |size, items, bytes| split(size, list_ref("list", 0, items, bytes)).bytes();
    File::new("content", "The content of a file, as in an entry.")
        .valid("no_bytes", &[], &inline(0, b""))
        .valid("inline", &[], &plain)
        .valid("the_longest_inline", &[], &inline(128, &[b'x'; 128]))
        .valid("the_shortest_item", &[], &items(129, vec![data("a", 129)]))
        .valid("a_short_hole", &[], &items(1, vec![hole(1)]))
        .valid("a_split_list", &[], &split(900, list_ref("list", 15, 9, 900)))
        .refuses_other_lengths(&plain)
        .invalid("unknown_choice", "unknown choice 3", &[], &plain.clone().with("choice inline", [3, 0, 0, 0]).bytes())
        .invalid("inline_over_the_limit", "over the limit of 128", &[], &inline(129, &[0; 129]).bytes())
        .invalid("inline_is_not_the_size", "size 4 but content of 5", &[], &inline(4, b"hello").bytes())
        .invalid("items_are_not_the_size", "size 130 but content of 129", &[], &data_of(130, 129))
        .invalid("short_content_that_is_not_inline", "not inline", &[], &data_of(128, 128))
        .invalid("no_items", "not inline", &[], &items(0, vec![]).bytes())
        .invalid("items_over_the_limit", "over the limit of 8", &[], &items(900, nine).bytes())
        .invalid(
            "data_of_no_bytes",
            "a data item of 0 bytes",
            &[],
            &items(200, vec![data("a", 200), data("b", 0)]).bytes(),
        )
        .invalid("size_over_64_bits", "over 64 bits", &[], &items(0, vec![hole(u64::MAX), hole(1)]).bytes())
        .invalid("a_split_list_of_8_items", "a split list that should not be one", &[], &sized(800, 8, 800))
        .invalid("split_list_is_not_the_size", "size 901 but content of 900", &[], &sized(901, 9, 900))
        .invalid(
            "split_list_deeper_than_the_limit",
            "a split list that should not be one",
            &[],
            &split(900, list_ref("list", 16, 9, 900)).bytes(),
        )
}

fn xattrs(attributes: &[(&str, &[u8])]) -> Draft {
    let attribute = |(name, value): &(&str, &[u8])| Draft::new().sized("name", name).sized("value", value);
    Draft::new().list("attributes", attributes.iter().map(attribute))
}

fn extended_attributes() -> File {
    let plain = xattrs(&[("security.capability", &[1, 0, 0, 2]), ("user.comment", b"")]);
    let long_name = "n".repeat(256);
    File::new("extended_attributes", "The value of an entry's extra 1.")
        .valid("none", &[], &xattrs(&[]))
        .valid("two", &[], &plain)
        .refuses_other_lengths(&plain)
        .invalid("names_do_not_ascend", "not strictly ascending", &[], &xattrs(&[("b", b""), ("a", b"")]).bytes())
        .invalid("a_name_twice", "not strictly ascending", &[], &xattrs(&[("a", b"1"), ("a", b"2")]).bytes())
        .invalid("name_over_the_limit", "over the limit of 255", &[], &xattrs(&[(&long_name, b"")]).bytes())
        .invalid("value_of_32_ones", "over the limit of 65536", &[], &endless_value())
}

/// An attribute whose value claims to be 4 GiB long.
fn endless_value() -> Vec<u8> {
    Draft::new().u32("attributes count", 1).sized("name", "a").u32("value length", u32::MAX).bytes()
}

fn hard_link() -> Draft {
    Draft::new().u64("device", 2049).u64("inode", 42)
}

fn hard_link_identity() -> File {
    let file = File::new("hard_link_identity", "The value of an entry's extra 3.");
    file.valid("of_a_file", &[], &hard_link()).refuses_other_lengths(&hard_link())
}

fn pairs_of(pairs: &[(&str, &[u8])]) -> Draft {
    let pair = |(name, value): &(&str, &[u8])| Draft::new().sized("name", name).sized("value", value);
    Draft::new().list("pairs", pairs.iter().map(pair))
}

fn pairs() -> File {
    let plain = pairs_of(&[("cache-control", b"no-cache"), ("content-type", b"application/pdf")]);
    File::new("pairs", "The value of an entry's extras 18, 19 and 20.")
        .valid("none", &[], &pairs_of(&[]))
        .valid("content_headers", &[], &plain)
        .valid("any_bytes_as_a_value", &[], &pairs_of(&[("owner", &[0xff, 0, b'\n'])]))
        .refuses_other_lengths(&plain)
        .invalid("names_do_not_ascend", "not strictly ascending", &[], &pairs_of(&[("b", b""), ("a", b"")]).bytes())
        .invalid("a_name_twice", "not strictly ascending", &[], &pairs_of(&[("a", b"1"), ("a", b"2")]).bytes())
        .invalid("name_over_the_limit", "over the limit of 1024", &[], &pairs_of(&[(&"n".repeat(1025), b"")]).bytes())
        .invalid("value_over_the_limit", "over the limit of 4096", &[], &pairs_of(&[("a", &[0; 4097])]).bytes())
}

fn beginning_of_a_file() -> File {
    let plain = Draft::new().u64("size", 5_000_000);
    let file = File::new("beginning_of_a_file", "The value of an entry's extra 0x80000001, in a checkpoint.");
    file.valid("of_a_file", &[], &plain)
        .valid("of_a_stream", &[], &Draft::new().u64("size", 0))
        .refuses_other_lengths(&plain)
}
