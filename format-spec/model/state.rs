//! The store, and what each actor knows: a state is a value of a hundred bytes. Sets of packs, segments, blobs, snapshots
//! and sessions are bit masks.

pub const NPK: usize = 8; // 0,1 initial; 2,3 backup i; 4+2j repack of prune j; 5+2j rescue of prune j
pub const NSG: usize = 10; // 0,1 initial; 2,3 backup i; 4+3j add, 5+3j rescue/pardon, 6+3j replacing
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Bk {
    pub pc: u8,
    pub dead: u8,
    pub ex: u8,
    pub seen: u8,
    pub segv: u16,
    pub u: u8,
    pub par: u8,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pr {
    pub pc: u8,
    pub dead: u8,
    pub ex: u8,
    pub seen: u8,
    pub segv: u16,
    pub reach: u8,
    pub roots: u8,
    pub c: u8,
    pub u: u8,
    pub r: u8,
    pub bl: u8,
    pub alone: u8,
    pub flags: u8,
}
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct St {
    pub pk: u8,
    pub ct: [u8; NPK],
    pub sg: u16,
    pub sp: [u8; NSG],
    pub sr: [u16; NSG],
    pub rec: u8,
    pub rp: [u8; 2],
    pub rr: [u8; 2],
    pub w: [u8; 2],
    pub sn: u8,
    pub good: u8,
    pub ses: u8,
    pub seen: [u8; 6],
    pub fg: u8,
    pub b: [Bk; 2],
    pub p: [Pr; 2],
    pub last: u8,
    pub sw: u8,
    pub ek: u8,
}
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Blk {
    Seen,
    Ideal,
    Clock,
    Pre,
}
#[derive(Clone, Copy, Debug)]
pub struct Cfg {
    pub nb: usize,
    pub np: usize,
    pub fg: u8,
    pub tomb: bool,     // condemned records are tombstones: they win over every segment
    pub recfirst: bool, // record before any segment that omits the packs
    pub annp: bool,     // prune announces a session
    pub blk: Blk,       // whom a deletion waits for
    pub refresh: bool,  // lease refresh rewrites the announcement object
    pub rescue: bool,   // copy needed blobs out of condemned packs (true) / pardon the pack (false)
    pub plist: bool,    // backup and prune list packs/ after announcing, trust only packs seen there
    pub since: bool,    // delete step looks only at snapshots written since the plan
    pub own1: bool,
    pub own2: bool,    // prune checks own session before the record / before first delete if it rescued
    pub verify: u8, // writer whose session is gone: 0 remove+fail 1 verify without session 2 verify under new session 3 no after-check
    pub parent: u8, // 0 lookup per blob, 1 trust parent got before announce, 2 trust parent if it exists after announce
    pub pages: bool, // index listing in two pages, not atomic
    pub recread: bool, // readers may find blobs through the directories in condemned records
    pub plast: bool, // pack listing before record listing (wrong order)
    pub early: bool, // backup reads the index (cache) before it announces
    pub orph: bool, // prune may take packs that no segment lists
    pub orphdel: bool, // ... and deletes them directly, without condemning (when no session is alive)
    pub trans: bool, // replacing segment names everything it saw, also already-replaced segments
    pub recdel_early: bool, // delete the record before the packs
    pub needp: bool,
    pub seencontent: bool, // 'seen' records are parsed before announcing
    pub prehalf: bool,
    pub norelist: bool,
    pub usecond: bool, // backup uses condemned packs (rescue by hope) instead of re-upload
    pub delseg: bool,
    pub omitonly: bool,  // replacing segment omits only the packs of the record being carried out
    pub compfirst: bool, // replacing segment before the packs are deleted
    pub world2: bool,    // no duplicate of x: condemning p0 needs a rewrite
    pub ek: u8,          // sessions that some other, crashed prune may remove at any time
    pub ctx: u8,         // bound on context switches (255: none)
    pub hard: bool,      // count only blobs that exist in no pack at all (physical loss)
    pub part: u8, // D8 replaces: 0 all segments read, 1 those that list a pack of R, 2 those, or all, 3 any of them
    pub multi: bool, // all records that nobody blocks are carried out at once, as if they were one
    pub strand: bool, // P4 also copies out of packs that are condemned already
    pub getlater: bool, // listing the records and getting them are two steps
    pub skip: bool, // D5 is left out if no snapshot is new and all that the plan relied on is still usable
    pub anyblock: bool, // (too weak) a record is carried out although somebody alive blocks another that names the same pack: its packs go too
    pub blockone: bool, // (too weak) all records go if nobody blocks one of them
    pub recafter: bool, // (too weak) sessions are listed before the records
    pub nostrand: bool, // (too weak) ... although something needed was in condemned packs when it was planned, and was not copied
    pub recgone: bool,  // (too weak) a record goes although one of its packs waits for another record
    pub relook: bool,   // D2 to D4 may be done once more after the snapshots were listed
    pub skiponly: bool, // (too weak) D5 is left out if no snapshot is new
}
pub const NEEDS: [u8; 3] = [0b01, 0b11, 0b10]; // T0 {x}; T1 {x,y}; T2 {y}
pub fn initial(c: &Cfg) -> St {
    let mut s = St::default();
    s.pk = 0b11;
    s.ct[0] = 0b11;
    s.ct[1] = 0b01; // p0 {x,y}, p1 {x}
    s.sg = 0b11;
    s.sp[0] = 0b01;
    s.sp[1] = 0b10;
    if c.world2 {
        s.ct[1] = 0b10;
    }
    s.sn = 1;
    s.good = 1;
    s.fg = c.fg;
    s.ek = c.ek;
    s
}
pub fn active(s: &St, m: u16) -> u16 {
    let mut r = 0;
    for i in 0..NSG {
        if m >> i & 1 == 1 {
            r |= s.sr[i];
        }
    }
    m & !r
}
pub fn packs(s: &St, m: u16) -> u8 {
    let a = active(s, m);
    let mut r = 0;
    for i in 0..NSG {
        if a >> i & 1 == 1 {
            r |= s.sp[i];
        }
    }
    r
}
pub fn cont(s: &St, m: u8) -> u8 {
    let mut r = 0;
    for i in 0..NPK {
        if m >> i & 1 == 1 {
            r |= s.ct[i];
        }
    }
    r
}
pub fn recpacks(s: &St, m: u8) -> u8 {
    let mut r = 0;
    for i in 0..2 {
        if m >> i & 1 == 1 {
            r |= s.rp[i];
        }
    }
    r
}
pub fn needs(m: u8) -> u8 {
    let mut r = 0;
    for i in 0..3 {
        if m >> i & 1 == 1 {
            r |= NEEDS[i];
        }
    }
    r
}
pub fn bad(c: &Cfg, s: &St) -> Option<String> {
    let mut f = packs(s, s.sg) & s.pk;
    if c.recread {
        f |= recpacks(s, s.rec) & s.pk;
    }
    let have = if c.hard { cont(s, s.pk) } else { cont(s, f) };
    for i in 0..3 {
        if (s.sn & s.good) >> i & 1 == 1 && NEEDS[i] & !have != 0 {
            return Some(format!(
                "snapshot T{} was reported good; blobs {:02b} not findable (exist anywhere: {:02b})",
                i,
                NEEDS[i] & !have,
                cont(s, s.pk) & NEEDS[i] & !have
            ));
        }
    }
    None
}
pub type Out = Vec<(String, St)>;
