//! All that can come next, and two ways to look: breadth first with the shortest trace, and random walks.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use super::backup::step_b;
use super::prune::step_p;
use super::state::*;

pub fn succ(c: &Cfg, s: &St, l: bool) -> Out {
    let mut o = Vec::new();
    let fin = |o: &mut Out, from: usize, a: u8| {
        if c.ctx != 255 {
            let sw = if s.last == a { s.sw } else { s.sw + 1 };
            if sw > c.ctx {
                o.truncate(from);
            } else {
                for e in o[from..].iter_mut() {
                    e.1.last = a;
                    e.1.sw = sw;
                }
            }
        }
    };
    for i in 0..c.nb {
        let f = o.len();
        step_b(c, s, i, l, &mut o);
        fin(&mut o, f, 1 + i as u8);
    }
    for j in 0..c.np {
        let f = o.len();
        step_p(c, s, j, l, &mut o);
        fin(&mut o, f, 3 + j as u8);
    }
    if s.fg > 0 {
        let f = o.len();
        for k in 0..3 {
            if s.sn >> k & 1 == 1 {
                let mut x = *s;
                x.sn &= !(1 << k);
                x.fg -= 1;
                o.push((if l { format!("F  forget: delete snapshot T{}", k) } else { String::new() }, x));
            }
        }
        fin(&mut o, f, 5);
    }
    if s.ek > 0 {
        let f = o.len();
        for q in 0..6 {
            if s.ses >> q & 1 == 1 {
                let mut x = *s;
                x.ses &= !(1 << q);
                x.ek -= 1;
                o.push((
                    if l {
                        format!(
                            "X  some other prune takes session {} for dead and deletes it",
                            ["B1", "B2", "P1", "P2", "B1'", "B2'"][q as usize]
                        )
                    } else {
                        String::new()
                    },
                    x,
                ));
            }
        }
        fin(&mut o, f, 6);
    }
    o
}
#[derive(Default, Clone, Copy)]
pub struct Fx(u64);
impl Hasher for Fx {
    fn finish(&self) -> u64 {
        let mut z = self.0;
        z ^= z >> 31;
        z = z.wrapping_mul(0xbf58476d1ce4e5b9);
        z ^= z >> 29;
        z
    }
    fn write(&mut self, b: &[u8]) {
        for ch in b.chunks(8) {
            let mut a = [0u8; 8];
            a[..ch.len()].copy_from_slice(ch);
            self.write_u64(u64::from_le_bytes(a));
        }
    }
    fn write_u8(&mut self, v: u8) {
        self.write_u64(v as u64)
    }
    fn write_u16(&mut self, v: u16) {
        self.write_u64(v as u64)
    }
    fn write_usize(&mut self, v: usize) {
        self.write_u64(v as u64)
    }
    fn write_u64(&mut self, v: u64) {
        self.0 = (self.0.rotate_left(23) ^ v.wrapping_add(0x9e3779b97f4a7c15)).wrapping_mul(0x94d049bb133111eb);
        self.0 ^= self.0 >> 32;
    }
}
#[derive(Default, Clone, Copy)]
pub struct Id(u64);
impl Hasher for Id {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, v: u64) {
        self.0 = v
    }
}
pub fn fp(s: &St) -> u64 {
    let mut h = Fx(7);
    s.hash(&mut h);
    h.finish()
}
// From any reachable state: all writers die, one fresh prune works alone. Nothing good may be lost and all garbage must go.
pub fn live(c: &Cfg, s: &St) -> bool {
    let dead = recpacks(s, s.rec);
    let us = packs(s, s.sg) & s.pk & !dead;
    let reach = needs(s.sn);
    let readable = cont(s, s.pk);
    let _ = c;
    // rescue everything reachable and readable, then every other pack can be condemned and deleted: no session blocks
    let kept = reach & (cont(s, us) | readable);
    needs(s.sn & s.good) & !kept == 0
}
pub fn explore(name: &str, c: &Cfg, max: usize) -> bool {
    let t0 = std::time::Instant::now();
    let s0 = initial(c);
    let mut seen: HashMap<u64, (), BuildHasherDefault<Id>> = HashMap::default();
    let mut par: Vec<(u32, u8)> = vec![(0, 0)];
    let mut q: VecDeque<(u32, St)> = VecDeque::new();
    seen.insert(fp(&s0), ());
    q.push_back((0, s0));
    let mut trans = 0u64;
    while let Some((id, s)) = q.pop_front() {
        let o = succ(c, &s, false);
        for (k, (_, n)) in o.iter().enumerate() {
            trans += 1;
            if seen.insert(fp(n), ()).is_none() {
                par.push((id, k as u8));
                let nid = (par.len() - 1) as u32;
                let b = bad(c, n).or_else(|| {
                    if live(c, n) { None } else { Some("a lone later prune cannot keep a good snapshot".into()) }
                });
                if let Some(why) = b {
                    let mut path = vec![];
                    let mut z = nid;
                    while z != 0 {
                        path.push(par[z as usize].1);
                        z = par[z as usize].0;
                    }
                    path.reverse();
                    println!(
                        "VIOLATION {:<34} {} steps, {} states, {:.1}s: {}",
                        name,
                        path.len(),
                        par.len(),
                        t0.elapsed().as_secs_f32(),
                        why
                    );
                    let mut cur = s0;
                    for k in path {
                        let o = succ(c, &cur, true);
                        let (lab, nx) = o.into_iter().nth(k as usize).unwrap();
                        println!("      {}", lab);
                        cur = nx;
                    }
                    return false;
                }
                q.push_back((nid, *n));
            }
        }
        if par.len() > max {
            println!(
                "no violation {:<34} in the first {} states, {} transitions, {:.0}s (bounded)",
                name,
                par.len(),
                trans,
                t0.elapsed().as_secs_f32()
            );
            return true;
        }
    }
    println!(
        "CLEAN     {:<34} {} states, {} transitions, {:.1}s (exhaustive)",
        name,
        par.len(),
        trans,
        t0.elapsed().as_secs_f32()
    );
    true
}
// Deep random walks (runs of one actor are favoured); the shortest violating walk found is kept.
pub fn sim(name: &str, c: &Cfg, secs: f32, seed: u64) -> bool {
    let t0 = std::time::Instant::now();
    let mut r = seed | 1;
    let mut walks = 0u64;
    let mut steps = 0u64;
    let mut best: Option<Vec<u8>> = None;
    let mut found = 0u64;
    let s0 = initial(c);
    while t0.elapsed().as_secs_f32() < secs {
        let mut c2 = *c;
        c2.ctx = 200;
        walks += 1;
        let mut s = s0;
        let mut path: Vec<u8> = vec![];
        let mut rnd = || {
            r ^= r << 13;
            r ^= r >> 7;
            r ^= r << 17;
            r
        };
        let stay = [50u64, 75, 88, 94][(rnd() % 4) as usize];
        loop {
            let o = succ(&c2, &s, false);
            if o.is_empty() || path.len() > 200 {
                break;
            }
            let same: Vec<usize> = (0..o.len()).filter(|&k| o[k].1.last == s.last).collect();
            let k = if !same.is_empty() && rnd() % 100 < stay {
                same[(rnd() % same.len() as u64) as usize]
            } else {
                // choose an actor first, then one of its steps
                let mut acts: Vec<u8> = o.iter().map(|e| e.1.last).collect();
                acts.dedup();
                let a = acts[(rnd() % acts.len() as u64) as usize];
                let v: Vec<usize> = (0..o.len()).filter(|&k| o[k].1.last == a).collect();
                v[(rnd() % v.len() as u64) as usize]
            };
            path.push(k as u8);
            s = o[k].1;
            s.sw = 0;
            steps += 1;
            if bad(c, &s).is_some() || !live(c, &s) {
                found += 1;
                if best.as_ref().map_or(true, |b| b.len() > path.len()) {
                    best = Some(path.clone());
                }
                break;
            }
            if let Some(b) = &best {
                if path.len() >= b.len() {
                    break;
                }
            }
        }
    }
    println!(
        "SIM {} {:<34} {} walks, {} steps, {} violating",
        if found > 0 { "VIOLATION" } else { "no violation" },
        name,
        walks,
        steps,
        found
    );
    if let Some(b) = best {
        let mut c2 = *c;
        c2.ctx = 200;
        let mut s = s0;
        println!("    shortest found: {} steps", b.len());
        for k in b {
            let o = succ(&c2, &s, true);
            let (lab, mut n) = o.into_iter().nth(k as usize).unwrap();
            n.sw = 0;
            println!("      {}", lab);
            s = n;
        }
        println!("      => {}", bad(c, &s).unwrap_or("later prune cannot keep it".into()));
    }
    found == 0
}
