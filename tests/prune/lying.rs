//! Packs that do not hold what the index says of them: whoever has the keys and may only add to a store can make one, and a
//! disk can. A prune does not let go of the true copy because of it.

use std::collections::BTreeSet;

use keepstone::crypto::PackSealer;
use keepstone::format::codec::Ascending;
use keepstone::format::control::{Condemned, Lineage, Signature};
use keepstone::format::envelope::ObjectKind;
use keepstone::format::extras::Extras;
use keepstone::format::pack::{BlobHeader, BlobKind, Compression};
use keepstone::format::segment::{BlobRecord, PackClass, PackRecord, Segment, SegmentHeader};
use keepstone::id::{PackId, SessionId};
use keepstone::ops::prune::PruneReport;
use keepstone::repo::{RepoError, Repository, pack_name};
use keepstone::storage::MemoryStore;
use tempfile::TempDir;

use crate::scene::*;
use crate::support::*;

/// A repository with a snapshot, and a pack that claims to hold all of its data and holds zeros.
struct Lie {
    store: MemoryStore,
    cache: TempDir,
    promised: Promised,
    honest: Vec<PackId>,
    planted: PackId,
}

impl Lie {
    fn new() -> Lie {
        let (store, cache) = (MemoryStore::new(), scratch());
        make(&store);
        let mut promised = Promised::default();
        promised.back_up(&open(store.clone(), cache.path()), files(0..12, 3000));
        let repository = open(store.clone(), cache.path());
        let packs = repository.view().packs().into_values();
        let honest: Vec<PackId> = packs.filter(|pack| pack.class == PackClass::Data).map(|pack| pack.id).collect();
        let (mut blobs, mut seen) = (Vec::new(), BTreeSet::new());
        repository
            .view()
            .each(&mut |location| {
                let blob = location.placed.blob;
                if blob.kind == BlobKind::Data && seen.insert(blob.id) {
                    blobs.push(BlobHeader { compression: Compression::None, stored_len: blob.plain_len, ..blob });
                }
            })
            .unwrap();
        // Of two packs that hold the same the one with the greater id stays.
        let planted = loop {
            let (id, bytes, segment) = lying_pack(&repository, &blobs);
            if honest.iter().all(|honest| *honest < id) {
                store.set(&pack_name(&id), bytes);
                repository.objects().put(&segment).unwrap();
                break id;
            }
        };
        Lie { store, cache, promised, honest, planted }
    }

    fn prune(&self) -> Result<PruneReport, RepoError> {
        try_prune(&open(self.store.clone(), self.cache.path()), &thrifty())
    }

    fn assert_found_out(&self, report: &PruneReport) {
        assert_eq!(report.unfounded, BTreeSet::from([self.planted]));
        self.promised.assert_kept(&self.store);
    }
}

fn lying_pack(repository: &Repository, blobs: &[BlobHeader]) -> (PackId, Vec<u8>, Segment) {
    let (objects, session) = (repository.objects(), SessionId::from_bytes([9; 32]));
    let mut sealer = PackSealer::new(&objects.object_keys(), ObjectKind::DataPack, b"planted", objects.chance());
    let mut bytes = sealer.prefix().to_vec();
    for blob in blobs {
        let mut stored = vec![0; blob.stored_len as usize];
        sealer.seal(*blob, &mut stored);
        bytes.extend(stored);
    }
    let (end, placed) = sealer.finish(session);
    bytes.extend(end);
    let id = PackId::of_stored(&bytes);
    let record =
        PackRecord { id, len: bytes.len() as u64, class: PackClass::Data, blobs: placed.len() as u32, retain_until: 0 };
    let header = SegmentHeader {
        session,
        lineage: Lineage::default(),
        replaces: Ascending::default(),
        packs: Ascending::new(vec![record]).unwrap(),
        blobs: 0,
        signature: Signature::default(),
        extras: Extras::default(),
    };
    let records = placed.into_iter().map(|placed| BlobRecord { placed, pack: 0 }).collect();
    (id, bytes, Segment::new(header, records))
}

#[test]
fn a_pack_goes_only_when_the_copies_that_stay_were_opened() {
    let lie = Lie::new();
    let report = lie.prune().unwrap();
    assert!(report.deleted.packs > 0, "the true copies seemed to be spare");
    lie.assert_found_out(&report);
}

#[test]
fn a_condemned_pack_goes_only_when_the_copies_that_stay_were_opened() {
    let lie = Lie::new();
    let condemned = Condemned {
        session: SessionId::from_bytes([9; 32]),
        lineage: Lineage::default(),
        packs: Ascending::new(lie.honest.clone()).unwrap(),
        signature: Signature::default(),
        extras: Extras::default(),
    };
    open(lie.store.clone(), lie.cache.path()).objects().put(&condemned).unwrap();
    let report = lie.prune().unwrap();
    assert_eq!(report.deleted.packs, lie.honest.len() as u64);
    lie.assert_found_out(&report);
}

#[test]
fn where_no_copy_opens_any_more_nothing_is_deleted() {
    let lie = Lie::new();
    let name = pack_name(&lie.honest[0]);
    let mut bytes = lie.store.objects()[&name].clone();
    bytes[100] ^= 1;
    lie.store.set(&name, bytes);
    let before = names(&lie.store, "packs/");
    let ended = lie.prune();
    assert!(matches!(ended, Err(RepoError::Damaged { .. })), "{ended:?}");
    let after = names(&lie.store, "packs/");
    assert!(before.iter().all(|name| after.contains(name)));
    assert_eq!(names(&lie.store, "condemned/"), []);
}

/// Once it was found out, a repair condemns it, and nothing is left of it.
#[test]
fn a_pack_that_was_found_out_can_be_got_rid_of() {
    let lie = Lie::new();
    lie.prune().unwrap();
    let who = thrifty().who;
    let counters = keepstone::ops::progress::WorkCounters::new("objects");
    let listener = keepstone::ops::repair::Listener { counters: &counters, on_step: &|_| (), interrupted: &|| false };
    let options = keepstone::ops::repair::PacksOptions { read_data: true, who, ..Default::default() };
    let report = keepstone::ops::repair::packs(&mut fresh(&lie.store), &options, &listener).unwrap();
    assert_eq!((report.damaged, report.blobs_lost), (1, 0));
    let report = lie.prune().unwrap();
    assert!(report.unfounded.is_empty() && report.deleted.packs == 1, "{report:?}");
    lie.promised.assert_kept(&lie.store);
    assert_sound(&lie.store);
}
