//! What a backup does, one call of the store at a time (format-spec/protocol.md, A1 to B9). `pc` is where it is.

use super::state::*;

pub fn usable_b(c: &Cfg, s: &St, segv: u16, dead: u8, ex: u8) -> u8 {
    let mut u = packs(s, segv);
    if c.plist {
        u &= ex;
    }
    if c.tomb && !c.usecond {
        u &= !dead;
    }
    u
}
pub fn step_b(c: &Cfg, s: &St, i: usize, l: bool, out: &mut Out) {
    let n = NEEDS[1 + i];
    let me = 1u8 << i;
    let b = s.b[i];
    macro_rules! t {
        ($lab:expr, $st:expr) => {
            out.push((if l { format!("B{} {}", i + 1, $lab) } else { String::new() }, $st))
        };
    }
    let mut x = *s;
    if c.refresh && b.pc >= 2 && b.pc <= 10 && s.ses & me == 0 {
        let mut y = *s;
        y.ses |= me;
        t!("refresh lease: put sessions/self (again)", y);
    }
    let after_idx = |x: &mut St| {
        let b = &mut x.b[i];
        let (segv, dead, ex, par) = (b.segv, b.dead, b.ex, b.par);
        let mut have = cont(x, usable_b(c, x, segv, dead, ex));
        if par == 1 {
            have |= if c.parent == 3 { NEEDS[1] } else { NEEDS[0] };
        }
        let u = n & !have;
        let b = &mut x.b[i];
        b.u = u;
        b.pc = if u == 0 { 8 } else { 6 };
        b.segv = 0;
        b.dead = 0;
        b.ex = 0;
        b.par = 0; // no longer needed
    };
    match b.pc {
        0 => {
            if c.blk == Blk::Seen || c.parent == 1 || c.early {
                if c.blk == Blk::Seen {
                    x.b[i].seen = s.rec;
                    if c.seencontent {
                        x.b[i].dead = recpacks(s, s.rec);
                    }
                }
                if c.parent == 1 {
                    x.b[i].par = s.sn & 1;
                }
                if c.early {
                    x.b[i].segv = s.sg;
                }
                x.b[i].pc = 1;
                t!(
                    format!(
                        "before announcing: list condemned={:02b}{}{}",
                        s.rec,
                        if c.parent == 1 { ", get parent T0" } else { "" },
                        if c.early { ", sync index cache" } else { "" }
                    ),
                    x
                );
            } else {
                x.ses |= me;
                x.b[i].pc = 2;
                t!("announce", x);
            }
        }
        1 => {
            x.ses |= me;
            x.seen[i] = b.seen;
            x.b[i].seen = 0;
            x.b[i].pc = 2;
            t!("announce", x);
        }
        2 if c.getlater => {
            x.b[i].seen = s.rec;
            x.b[i].pc = 24;
            t!(format!("list condemned={:02b}", s.rec), x);
        }
        24 => {
            x.b[i].dead |= recpacks(s, b.seen & s.rec);
            x.b[i].seen = 0;
            x.b[i].pc = 3;
            t!("get records", x);
        }
        2 => {
            if c.parent == 2 {
                x.b[i].par = s.sn & 1;
            }
            if c.parent == 3 && i == 1 {
                x.b[i].par = s.sn >> 1 & 1;
            }
            if c.plast {
                x.b[i].ex = s.pk;
            } else {
                x.b[i].dead |= if c.tomb { recpacks(s, s.rec) } else { 0 };
            }
            x.b[i].pc = if c.plist {
                3
            } else if c.early {
                5
            } else {
                4
            };
            if c.tomb || c.parent == 2 {
                t!(format!("list {}", if c.plast { "packs" } else { "condemned" }), x);
            } else {
                step_b(c, &x, i, l, out);
            }
        }
        3 => {
            if c.plast {
                x.b[i].dead |= if c.tomb { recpacks(s, s.rec) } else { 0 };
            } else {
                x.b[i].ex = s.pk;
            }
            x.b[i].pc = if c.early { 5 } else { 4 };
            t!(format!("list {}", if c.plast { "condemned" } else { "packs" }), x);
        }
        4 => {
            if c.pages {
                x.b[i].segv = s.sg & 0x155;
                x.b[i].pc = 5;
                t!("list index, page 1", x);
            } else {
                x.b[i].segv = s.sg;
                after_idx(&mut x);
                t!(format!("read index, will upload {:02b}", x.b[i].u), x);
            }
        }
        5 => {
            if !c.early {
                x.b[i].segv |= s.sg & 0x2aa;
            }
            after_idx(&mut x);
            t!(format!("index read, will upload {:02b}", x.b[i].u), x);
        }
        6 => {
            x.pk |= 1 << (2 + i);
            x.ct[2 + i] = b.u;
            x.b[i].pc = 7;
            t!(format!("put pack p{}={:02b}", 2 + i, b.u), x);
        }
        7 => {
            x.sg |= 1 << (2 + i);
            x.sp[2 + i] = 1 << (2 + i);
            x.b[i].pc = 8;
            x.b[i].u = 0;
            t!(format!("put segment s{}", 2 + i), x);
        }
        8 => {
            if s.ses & me != 0 {
                x.b[i].pc = 9;
                t!("check own session: there", x);
            } else {
                x.b[i].pc = 20;
                t!("check own session: gone, fail", x);
            }
        }
        9 => {
            x.sn |= 2 << i;
            x.b[i].pc = 10;
            t!(format!("put snapshot T{}", i + 1), x);
        }
        10 => {
            if s.ses & me != 0 || c.verify == 3 {
                x.good |= 2 << i;
                x.b[i].pc = 12;
                t!("check own session: there, REPORT GOOD", x);
            } else {
                x.b[i].pc = match c.verify {
                    0 => 11,
                    1 => 13,
                    _ => 14,
                };
                t!("check own session: gone", x);
            }
        }
        11 => {
            x.sn &= !(2 << i);
            x.b[i] = Bk { pc: 20, ..Default::default() };
            t!("delete own snapshot, fail", x);
        }
        12 => {
            x.ses &= !me;
            x.b[i].pc = 20;
            t!("withdraw", x);
        }
        13 => {
            let f = packs(s, s.sg) & s.pk;
            if n & !cont(s, f) == 0 {
                x.good |= 2 << i;
                x.b[i].pc = 20;
                t!("verify: all found, REPORT GOOD", x);
            } else {
                x.b[i].pc = 11;
                t!("verify: holes", x);
            }
        }
        14 => {
            x.b[i].seen = s.rec;
            x.b[i].dead = if c.seencontent { recpacks(s, s.rec) } else { 0 };
            x.b[i].pc = 15;
            t!("verify: list condemned", x);
        }
        15 => {
            x.ses |= 16 << i;
            x.seen[4 + i] = b.seen;
            x.b[i].seen = 0;
            x.b[i].pc = 16;
            t!("verify: announce a new session", x);
        }
        16 if c.getlater => {
            x.b[i].seen = s.rec;
            x.b[i].pc = 25;
            t!("verify: list condemned", x);
        }
        25 => {
            x.b[i].dead |= recpacks(s, b.seen & s.rec);
            x.b[i].seen = 0;
            x.b[i].pc = 17;
            t!("verify: get records", x);
        }
        16 => {
            x.b[i].dead |= recpacks(s, s.rec);
            x.b[i].pc = 17;
            t!("verify: list condemned", x);
        }
        17 => {
            x.b[i].ex = s.pk;
            x.b[i].pc = 18;
            t!("verify: list packs", x);
        }
        18 => {
            x.b[i].segv = s.sg & if c.pages { 0x155 } else { 0x3ff };
            x.b[i].pc = 19;
            t!("verify: list index p1", x);
        }
        19 => {
            let segv = b.segv | s.sg & 0x2aa;
            let have = cont(s, usable_b(c, s, segv, b.dead, b.ex));
            x.b[i] = Bk::default();
            x.b[i].pc = if n & !have == 0 { 21 } else { 23 };
            t!("verify: list index p2, look up every blob", x);
        }
        21 => {
            if s.ses & (16 << i) != 0 {
                x.good |= 2 << i;
                x.b[i].pc = 22;
                t!("verify: session still there, REPORT GOOD", x);
            } else {
                x.b[i].pc = 11;
                t!("verify: new session gone too", x);
            }
        }
        22 => {
            x.ses &= !(16 << i);
            x.b[i].pc = 20;
            t!("withdraw", x);
        }
        23 => {
            x.ses &= !(16 << i);
            x.b[i].pc = 11;
            t!("verify: holes; withdraw", x);
        }
        _ => {}
    }
}
