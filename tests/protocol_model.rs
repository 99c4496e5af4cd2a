//! The model of the order of writes (format-spec/model) is clean where it is small enough to be explored whole within
//! seconds, and it can fail: what is too weak is found out.

#[path = "../format-spec/model/main.rs"]
#[allow(dead_code)]
mod model;

use model::explore::{explore, sim};
use model::variants::variants;

fn variant(name: &str) -> model::state::Cfg {
    let found = variants().into_iter().find(|(of, _)| *of == name);
    found.unwrap_or_else(|| panic!("there is no variant {name}")).1
}

#[test]
fn the_protocol_as_it_is_built_loses_nothing_in_small_worlds() {
    for name in ["n1 1B 1P 2X 2F", "n4 1B 1P 2X 2F world2", "l1 relook 1B 1P 2X 2F"] {
        assert!(explore(name, &variant(name), usize::MAX), "{name}");
    }
}

#[test]
fn a_step_that_is_left_out_is_found_out() {
    for name in ["v-noaftercheck", "v-usecond", "v-skiponly 0B 2P", "r-refresh rewrites", "r-clock", "r-since only"] {
        assert!(!explore(name, &variant(name), 1_000_000), "{name}");
    }
}

#[test]
fn walks_at_random_find_nothing() {
    for name in ["N1 1B 2P 2X", "N3 2B 2P 2X world2"] {
        assert!(sim(name, &variant(name), 2.0, 88_172_645_463_325_252), "{name}");
    }
}
