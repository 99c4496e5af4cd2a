//! What a bad disk did is found, repaired as far as it goes, and healed by the next backup.

use std::fs;
use std::path::PathBuf;

use crate::desk::{Desk, objects, tree};

/// The largest pack of the desk's repository.
fn largest_pack(desk: &Desk) -> PathBuf {
    let all = objects(&desk.repository()).into_iter().filter(|(path, _)| path.starts_with("packs"));
    desk.repository().join(all.max_by_key(|(_, len)| *len).unwrap().0)
}

fn restores_whole(desk: &Desk) {
    desk.run("restore latest~1:/source --target restored --verify").succeeds();
    assert_eq!(tree(&desk.path("source")), tree(&desk.path("restored")));
}

#[test]
fn a_pack_with_a_flipped_bit_is_condemned_and_a_backup_heals_what_it_held() {
    let desk = Desk::with_snapshot();
    let pack = largest_pack(&desk);
    let mut bytes = fs::read(&pack).unwrap();
    bytes[100_000] ^= 1;
    fs::set_permissions(&pack, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();
    desk.run("check --read-data").ends(13);
    let before = objects(&desk.repository());
    desk.run("repair packs --read-data -n").ends(13).says("would condemn 1 packs").says("nothing was written");
    assert_eq!(objects(&desk.repository()), before);
    desk.run("repair packs --read-data").ends(13).says("condemned 1 packs").complains("back up again");
    desk.run("check").ends(13).says("large.bin");
    desk.run("backup source --as /source").succeeds();
    desk.run("check --read-data").succeeds();
    desk.run("repair snapshots").succeeds().says("none of them is harmed");
    restores_whole(&desk);
}

#[test]
fn what_is_lost_for_good_is_left_out_of_a_new_snapshot() {
    let desk = Desk::with_snapshot();
    fs::remove_file(largest_pack(&desk)).unwrap();
    desk.run("check").ends(13).says("large.bin");
    desk.run("repair index").succeeds().says("dropped 1");
    desk.run("repair snapshots -n").ends(13).says("would repair 1 snapshots");
    desk.run("repair snapshots").ends(13).says("left out").says("made 1 snapshots");
    desk.run("repair snapshots --forget").succeeds();
    desk.run("check --read-data").succeeds();
    desk.run("snapshots").succeeds().says("repaired").complains("1 snapshot");
    desk.run("ls latest:/source/etc").succeeds().says("hosts");
}

#[test]
fn a_repair_of_what_is_whole_does_nothing_and_speaks_json() {
    let desk = Desk::with_snapshot();
    let before = objects(&desk.repository());
    for repair in ["index --read-all-packs", "packs --read-data", "snapshots --forget"] {
        let summary = desk.run(&format!("repair {repair} --json")).succeeds().summary();
        assert_eq!(summary["message_type"], "summary");
        assert_eq!(summary["damage_left"], false, "{summary}");
        assert_eq!(objects(&desk.repository()), before, "{repair}");
    }
    desk.run("repair packs 00000000").ends(1);
}
