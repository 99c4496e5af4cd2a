//! What a prune does, one call of the store at a time (format-spec/protocol.md, P1 to D11). `pc` is where it is.

use super::state::*;

pub fn step_p(c: &Cfg, s: &St, j: usize, l: bool, out: &mut Out) {
    let me = 4u8 << j;
    let p = s.p[j];
    macro_rules! t {
        ($lab:expr, $st:expr) => {
            out.push((if l { format!("P{} {}", j + 1, $lab) } else { String::new() }, $st))
        };
    }
    let mut x = *s;
    let other = s.ses & !me;
    let (add, res, rep) = (4 + 3 * j, 5 + 3 * j, 6 + 3 * j);
    let (pe, pf) = (4 + 2 * j, 5 + 2 * j);
    const END: u8 = 99;
    macro_rules! stop {
        ($x:expr) => {{
            $x.p[j] = Pr { pc: if c.annp { 98 } else { END }, ..Default::default() };
        }};
    }
    match p.pc {
        0 => {
            if c.blk == Blk::Seen {
                x.p[j].seen = s.rec;
                if c.seencontent {
                    x.p[j].dead = recpacks(s, s.rec);
                }
            }
            if c.blk == Blk::Pre {
                x.p[j].alone = (other == 0) as u8;
            }
            x.p[j].pc = if c.annp { 1 } else { 2 };
            if c.blk == Blk::Seen {
                t!("list condemned", x);
            } else if c.blk == Blk::Pre {
                t!(format!("list sessions: {}", if other == 0 { "nobody" } else { "somebody" }), x);
            } else {
                step_p(c, &x, j, l, out);
            }
        }
        1 => {
            x.ses |= me;
            x.seen[2 + j] = p.seen;
            x.p[j].pc = 2;
            t!("announce", x);
        }
        2 if c.getlater => {
            x.p[j].bl = s.rec;
            x.p[j].pc = 33;
            t!(format!("list condemned={:02b}", s.rec), x);
        }
        33 => {
            x.p[j].seen |= p.bl & s.rec;
            x.p[j].dead |= recpacks(s, p.bl & s.rec);
            x.p[j].bl = 0;
            x.p[j].pc = 3;
            t!("get records", x);
        }
        2 => {
            x.p[j].seen |= s.rec;
            x.p[j].dead |= recpacks(s, s.rec);
            x.p[j].pc = 3;
            t!(format!("list condemned={:02b}", s.rec), x);
        }
        3 => {
            x.p[j].ex = s.pk;
            x.p[j].pc = 4;
            if c.plist || c.orph {
                t!("list packs", x);
            } else {
                step_p(c, &x, j, l, out);
            }
        }
        4 => {
            x.p[j].segv = s.sg & if c.pages { 0x155 } else { 0x3ff };
            x.p[j].pc = if c.pages { 5 } else { 6 };
            t!("read index", x);
        }
        5 => {
            x.p[j].segv |= s.sg & 0x2aa;
            x.p[j].pc = 6;
            t!("read index p2", x);
        }
        6 => {
            // list snapshots and plan
            let reach = needs(s.sn);
            let idx = packs(s, p.segv);
            let mut us = idx;
            if c.plist {
                us &= p.ex;
            }
            us &= !p.dead;
            let orph = if c.orph { p.ex & !idx & !p.dead } else { 0 };
            let cand = us | orph;
            let mut all = 0u8;
            let mut sets: Vec<u8> = vec![];
            for q in 0..NPK {
                let m = 1u8 << q;
                if cand & m == 0 {
                    continue;
                }
                let ok = s.ct[q] & !reach != 0 || s.ct[q] & reach & !cont(s, us & !m) == 0;
                if ok {
                    sets.push(m);
                    if s.ct[q] & reach == 0 {
                        all |= m;
                    }
                }
            }
            if all.count_ones() > 1 {
                sets.push(all);
            }
            let st = if c.strand { p.dead & p.ex } else { 0 };
            if reach & cont(s, st) & !cont(s, us) != 0 {
                sets.push(0);
            }
            for cset in sets {
                let u = reach & cont(s, cset | st) & !cont(s, us & !cset);
                let mut y = *s;
                y.p[j].c = cset;
                y.p[j].u = u;
                y.p[j].reach = if c.skip || c.skiponly { us & !cset | if u != 0 { 1 << pe } else { 0 } } else { reach };
                y.p[j].roots = s.sn;
                y.p[j].r = j as u8;
                if c.orphdel && cset & orph == cset && other == 0 {
                    y.p[j].pc = 60;
                    t!(format!("list snapshots, plan: delete orphans {:08b} at once", cset), y);
                    continue;
                }
                y.p[j].pc = if u != 0 {
                    7
                } else if c.recfirst {
                    9
                } else {
                    40
                };
                t!(format!("list snapshots={:03b}; plan: condemn packs {:08b}, rewrite {:02b}", s.sn, cset, u), y);
            }
            let stranded = reach & cont(s, p.dead & p.ex) & !cont(s, us) != 0;
            if c.multi && stranded && c.strand && !c.nostrand {
                return;
            }
            if c.multi {
                let mut y = *s;
                y.p[j].reach = us;
                y.p[j].roots = s.sn;
                y.p[j].ex = 0;
                y.p[j].segv = 0;
                y.p[j].dead = 0;
                y.p[j].seen = 0;
                if !c.skip && !c.skiponly {
                    y.p[j].reach = 0;
                    y.p[j].roots = 0;
                }
                y.p[j].pc = 30;
                t!(format!("list snapshots={:03b}; plan: nothing to condemn", s.sn), y);
                return;
            }
            for r in 0..2u8 {
                if p.seen >> r & 1 == 1 && s.rp[r as usize] != 0 {
                    let mut y = *s;
                    y.p[j].r = r;
                    y.p[j].roots = s.rr[r as usize];
                    y.p[j].pc = 12;
                    t!(format!("nothing new to condemn; work on record R{}", r + 1), y);
                }
            }
        }
        7 => {
            if p.u & !cont(s, s.pk & (p.c | p.ex)) != 0 {
                stop!(x);
                t!("rewrite: blob gone, stop", x);
            } else {
                x.pk |= 1 << pe;
                x.ct[pe] = p.u;
                x.p[j].pc = if c.recfirst { 8 } else { 40 };
                t!(format!("put rewritten pack p{}={:02b}", pe, p.u), x);
            }
        }
        8 => {
            x.sg |= 1 << add;
            x.sp[add] = 1 << pe;
            x.p[j].pc = 9;
            t!(format!("put segment s{} (adds p{})", add, pe), x);
        }
        9 => {
            if c.own1 {
                if s.ses & me != 0 {
                    x.p[j].pc = 10;
                    t!("check own session: there", x);
                } else {
                    stop!(x);
                    t!("check own session: gone, stop", x);
                }
            } else {
                x.p[j].pc = 10;
                step_p(c, &x, j, l, out);
            }
        }
        10 if p.c == 0 => {
            x.p[j] = Pr {
                pc: 30,
                roots: if c.skip || c.skiponly { p.roots } else { 0 },
                reach: if c.skip || c.skiponly { p.reach } else { 0 },
                ..Default::default()
            };
            step_p(c, &x, j, l, out);
        }
        10 => {
            x.rec |= 1 << j;
            x.rp[j] = p.c;
            x.rr[j] = p.roots;
            x.w[j] = s.ses & !me;
            x.p[j].pc = if c.recfirst && !c.tomb { 40 } else { 12 };
            x.p[j].dead |= p.c;
            x.p[j].ex = 0;
            if !c.skip && !c.skiponly {
                x.p[j].reach = 0;
            }
            x.p[j].u = 0;
            x.p[j].segv = if c.recfirst && !c.tomb { p.segv } else { 0 };
            if !c.since && !c.skip && !c.skiponly {
                x.p[j].roots = 0;
            }
            if c.multi {
                x.p[j].pc = 30;
                x.p[j].dead = 0;
                x.p[j].seen = 0;
                x.p[j].c = 0;
                x.p[j].r = 0;
            }
            t!(format!("put condemned record R{}={:08b}", j + 1, p.c), x);
        }
        // as written: replacing segment at condemn time
        40 => {
            let a = active(s, p.segv);
            x.sg |= 1 << rep;
            x.sp[rep] = packs(s, p.segv) & !p.c | if p.u != 0 { 1 << pe } else { 0 };
            x.sr[rep] = if c.trans { p.segv } else { a };
            x.p[j].pc = if c.delseg {
                41
            } else if c.recfirst {
                12
            } else {
                10
            };
            t!(format!("put segment s{} packs {:08b} replaces {:010b}", rep, x.sp[rep], x.sr[rep]), x);
        }
        41 => {
            let d = p.segv & s.sg;
            if d == 0 {
                x.p[j].pc = if c.recfirst { 12 } else { 10 };
                step_p(c, &x, j, l, out);
            } else {
                let q = d.trailing_zeros();
                x.sg &= !(1 << q);
                t!(format!("delete superseded s{}", q), x);
            }
        }
        // all records at once
        30 if c.recafter => {
            x.p[j].alone = other;
            x.p[j].pc = 36;
            t!("list sessions", x);
        }
        30 | 36 => {
            x.p[j].r = s.rec;
            x.p[j].pc = if c.getlater { 35 } else { 31 };
            if s.rec == 0 {
                stop!(x);
            }
            t!(format!("list records={:02b}", s.rec), x);
        }
        35 => {
            x.p[j].r = p.r & s.rec;
            x.p[j].pc = 31;
            if x.p[j].r == 0 {
                stop!(x);
            }
            t!("get records", x);
        }
        31 => {
            let other = if c.recafter { p.alone } else { other };
            let blocks = |q: usize, r: usize| other >> q & 1 == 1 && s.seen[q] >> r & 1 == 0;
            let mut anyb = 0u8;
            for q in 0..6 {
                for r in 0..2 {
                    if p.r >> r & 1 == 1 && blocks(q, r) {
                        anyb |= 1 << q;
                    }
                }
            }
            // any of those that block may look dead
            let mut d = anyb;
            loop {
                let mut ready = 0u8;
                for r in 0..2 {
                    if p.r >> r & 1 == 1 && (0..6).all(|q| d >> q & 1 == 1 || !blocks(q, r)) {
                        ready |= 1 << r;
                    }
                }
                if c.blockone && ready != 0 {
                    ready = p.r;
                }
                let mut y = *s;
                if ready == 0 {
                    stop!(y);
                    if d == 0 {
                        t!("list sessions: all records are blocked, stop", y);
                    }
                } else {
                    let waits = recpacks(s, p.r & !ready);
                    let m = recpacks(s, ready) & if c.anyblock { 0xff } else { !waits };
                    if !c.anyblock && !c.recgone {
                        for r in 0..2 {
                            if ready >> r & 1 == 1 && s.rp[r] & waits != 0 {
                                ready &= !(1 << r);
                            }
                        }
                    }
                    y.p[j].r = ready;
                    y.p[j].c = m;
                    y.p[j].bl = d;
                    y.p[j].pc = if d == 0 { 13 } else { 32 };
                    t!(
                        format!(
                            "list sessions: carry out records {:02b}, packs {:08b}; these look dead: {:06b}",
                            ready, m, d
                        ),
                        y
                    );
                }
                if d == 0 {
                    break;
                }
                d = (d - 1) & anyb;
            }
        }
        32 => {
            let q = p.bl.trailing_zeros();
            x.ses &= !(1 << q);
            x.p[j].bl &= !(1 << q);
            if x.p[j].bl == 0 {
                x.p[j].pc = 13;
            }
            t!(format!("delete session {}", ["B1", "B2", "P1", "P2", "B1'", "B2'"][q as usize]), x);
        }
        12 => {
            let r = p.r as usize;
            if c.blk == Blk::Clock && other != 0 {
                let mut y = *s;
                y.p[j].pc = 13;
                t!("list sessions: those there look newer than the record (clock)", y);
            }
            let bl = match c.blk {
                Blk::Seen => {
                    let mut m = 0;
                    for q in 0..6 {
                        if other >> q & 1 == 1 && s.seen[q] >> r & 1 == 0 {
                            m |= 1 << q;
                        }
                    }
                    m
                }
                Blk::Ideal => other & s.w[r],
                Blk::Clock => other,
                Blk::Pre => {
                    if p.alone == 1 {
                        0
                    } else {
                        0xff
                    }
                }
            };
            if c.blk == Blk::Pre {
                if bl == 0 {
                    x.p[j].pc = 13;
                    step_p(c, &x, j, l, out);
                } else {
                    stop!(x);
                    t!("stop, others at work", x);
                }
                return;
            }
            if bl == 0 {
                x.p[j].pc = 13;
                t!("list sessions: nobody blocks", x);
            } else {
                let mut y = *s;
                stop!(y);
                t!("list sessions: somebody is alive; leave the record, stop", y);
                x.p[j].bl = bl;
                x.p[j].pc = 11;
                t!("list sessions: those that block look dead", x);
            }
        }
        11 => {
            let q = p.bl.trailing_zeros();
            x.ses &= !(1 << q);
            x.p[j].bl &= !(1 << q);
            if x.p[j].bl == 0 {
                x.p[j].pc = 13;
            }
            t!(format!("delete session {}", ["B1", "B2", "P1", "P2", "B1'", "B2'"][q as usize]), x);
        }
        13 if c.getlater => {
            x.p[j].bl = s.rec;
            x.p[j].pc = 34;
            t!(format!("list condemned={:02b}", s.rec), x);
        }
        34 => {
            x.p[j].dead |= recpacks(s, p.bl & s.rec);
            x.p[j].bl = 0;
            x.p[j].pc = 14;
            t!("get records", x);
        }
        13 => {
            x.p[j].dead |= recpacks(s, s.rec);
            x.p[j].pc = 14;
            if c.tomb && !c.norelist {
                t!(format!("list condemned={:02b}", s.rec), x);
            } else {
                if c.norelist {
                    x.p[j].dead = p.dead
                }
                step_p(c, &x, j, l, out);
            }
        }
        14 => {
            x.p[j].ex = s.pk;
            x.p[j].pc = 15;
            if c.plist {
                t!("list packs", x);
            } else {
                x.p[j].ex = 0xff;
                step_p(c, &x, j, l, out);
            }
        }
        15 => {
            x.p[j].segv = s.sg & if c.pages { 0x155 } else { 0x3ff };
            x.p[j].pc = if c.pages { 16 } else { 17 };
            t!("read index", x);
        }
        16 => {
            x.p[j].segv |= s.sg & 0x2aa;
            x.p[j].pc = 17;
            t!("read index p2", x);
        }
        17 => {
            let m = if c.multi { p.c } else { s.rp[p.r as usize] };
            let reach = if p.flags & 4 != 0 {
                p.roots
            } else if c.since {
                needs(s.sn & !p.roots)
            } else {
                needs(s.sn)
            };
            let mut us = packs(s, p.segv) & !m;
            if c.plist {
                us &= p.ex;
            }
            if c.tomb {
                us &= !p.dead;
            }
            let need = reach & cont(s, m & p.ex) & !cont(s, us);
            // something seems to be lost: all is listed again, for the snapshots that were listed
            if c.relook && p.flags & 4 == 0 {
                let mut y = *s;
                y.p[j].flags |= 4;
                y.p[j].roots = needs(s.sn);
                y.p[j].reach = 0;
                y.p[j].segv = 0;
                y.p[j].ex = 0;
                y.p[j].dead = 0;
                y.p[j].pc = 13;
                t!(format!("list snapshots={:03b}: look again", s.sn), y);
            }
            let seen_all = p.flags & 4 == 0 && s.sn & !p.roots == 0;
            let need = if c.skiponly && seen_all || c.skip && seen_all && p.reach & !us == 0 { 0 } else { need };
            x.p[j].u = need;
            x.p[j].c = m;
            x.p[j].ex = 0;
            x.p[j].reach = 0;
            x.p[j].roots = 0;
            x.p[j].seen = 0;
            if c.omitonly {
                x.p[j].dead = 0;
            }
            if c.rescue {
                x.p[j].pc = if need != 0 { 18 } else { 21 };
                t!(format!("list snapshots={:03b}: needed from condemned packs: {:02b}", s.sn, need), x);
            } else {
                let mut pd = 0;
                for q in 0..NPK {
                    if m >> q & 1 == 1 && s.ct[q] & need != 0 {
                        pd |= 1 << q;
                    }
                }
                x.p[j].c = m & !pd;
                x.p[j].bl = pd;
                x.p[j].pc = if pd != 0 { 50 } else { 21 };
                t!(format!("list snapshots={:03b}: pardon {:08b}", s.sn, pd), x);
            }
        }
        18 => {
            if p.u & !cont(s, s.pk) != 0 {
                if p.flags & 1 == 0 {
                    x.p[j].flags |= 1;
                    x.p[j].pc = 13;
                    t!("rescue: pack gone, look again", x);
                } else {
                    stop!(x);
                    t!("rescue: pack gone, stop", x);
                }
            } else {
                x.p[j].pc = 19;
                t!("rescue: read blobs", x);
            }
        }
        19 => {
            x.pk |= 1 << pf;
            x.ct[pf] = p.u;
            x.p[j].pc = 20;
            t!(format!("put rescue pack p{}={:02b}", pf, p.u), x);
        }
        20 => {
            x.sg |= 1 << res;
            x.sp[res] = 1 << pf;
            x.p[j].pc = if c.own2 { 25 } else { 21 };
            t!(format!("put segment s{} (adds p{})", res, pf), x);
        }
        25 => {
            if s.ses & me != 0 {
                x.p[j].pc = 21;
                t!("check own session: there", x);
            } else {
                stop!(x);
                t!("check own session: gone, stop", x);
            }
        }
        50 => {
            x.sg |= 1 << res;
            x.sp[res] = p.bl;
            if c.tomb {
                x.rp[p.r as usize] &= !p.bl;
            }
            x.p[j].pc = 21;
            t!(format!("pardon: put segment s{} with {:08b}", res, p.bl), x);
        }
        21 if c.compfirst && p.flags & 2 == 0 => {
            x.p[j].flags |= 2;
            x.p[j].pc = 22;
            step_p(c, &x, j, l, out);
        }
        21 => {
            let d = p.c & s.pk;
            if c.recdel_early && s.rec >> p.r & 1 == 1 {
                x.rec &= !(1 << p.r);
                t!("delete record first", x);
                return;
            }
            if d == 0 {
                x.p[j].pc = if c.tomb && !c.compfirst { 22 } else { 24 };
                step_p(c, &x, j, l, out);
            } else {
                let q = d.trailing_zeros();
                x.pk &= !(1 << q);
                t!(format!("delete pack p{}", q), x);
            }
        }
        22 => {
            // replacing segment without the deleted packs, made from what was read before (may be stale)
            let a = active(s, p.segv);
            let m = if c.multi { p.c } else { s.rp[p.r as usize] };
            if c.part > 0 {
                let mut least = 0u16;
                for q in 0..NSG {
                    if a >> q & 1 == 1 && s.sp[q] & m != 0 {
                        least |= 1 << q;
                    }
                }
                let next = if c.compfirst { 21 } else { 24 };
                let mut put = |chosen: u16| {
                    let mut y = *s;
                    if chosen == 0 {
                        y.p[j].pc = next;
                        t!("no segment to replace", y);
                        return;
                    }
                    let mut sp = 0;
                    for q in 0..NSG {
                        if chosen >> q & 1 == 1 {
                            sp |= s.sp[q];
                        }
                    }
                    y.sg |= 1 << rep;
                    y.sp[rep] = sp & !m;
                    y.sr[rep] = chosen | p.segv & !a;
                    y.p[j].segv = y.sr[rep];
                    y.p[j].pc = 23;
                    t!(format!("put segment s{} packs {:08b} replaces {:010b}", rep, y.sp[rep], y.sr[rep]), y);
                };
                match c.part {
                    1 => put(least),
                    2 => {
                        put(least);
                        if a != least {
                            put(a);
                        }
                    }
                    _ => {
                        let mut k = a;
                        loop {
                            put(k);
                            if k == 0 {
                                break;
                            }
                            k = (k - 1) & a;
                        }
                    }
                }
                return;
            }
            x.sg |= 1 << rep;
            x.sp[rep] = packs(s, p.segv) & !(if c.omitonly { m } else { p.dead });
            x.sr[rep] = if c.trans { p.segv } else { a };
            x.p[j].pc = if c.delseg {
                23
            } else if c.compfirst {
                21
            } else {
                24
            };
            t!(format!("put segment s{} packs {:08b} replaces {:010b}", rep, x.sp[rep], x.sr[rep]), x);
        }
        23 => {
            let d = p.segv & s.sg;
            if d == 0 {
                x.p[j].pc = if c.compfirst { 21 } else { 24 };
                step_p(c, &x, j, l, out);
            } else {
                let q = d.trailing_zeros();
                x.sg &= !(1 << q);
                t!(format!("delete superseded s{}", q), x);
            }
        }
        24 if c.multi && p.r == 0 => {
            stop!(x);
            step_p(c, &x, j, l, out);
        }
        24 if c.multi => {
            let r = p.r.trailing_zeros();
            x.rec &= !(1 << r);
            x.p[j].r &= !(1 << r);
            if x.p[j].r == 0 {
                stop!(x);
            }
            t!(format!("delete record R{}", r + 1), x);
        }
        24 => {
            x.rec &= !(1 << p.r);
            stop!(x);
            t!(format!("delete record R{}", p.r + 1), x);
        }
        60 => {
            let d = p.c & s.pk;
            if d == 0 {
                stop!(x);
                t!("orphans gone", x);
            } else {
                let q = d.trailing_zeros();
                x.pk &= !(1 << q);
                t!(format!("delete orphan p{}", q), x);
            }
        }
        98 => {
            x.ses &= !me;
            x.p[j].pc = END;
            t!("withdraw", x);
        }
        _ => {}
    }
}
