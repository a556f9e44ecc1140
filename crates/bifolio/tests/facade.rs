//! The facade offers every public name of the crate below it.

use std::collections::BTreeSet;

/// The names in the `pub use` items of a `lib.rs`, as their users see them.
fn exported(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for item in source.split("pub use ").skip(1) {
        let item = item.split(';').next().unwrap();
        let list = match item.split_once('{') {
            Some((_, list)) => list.trim_end_matches(['}', '\n', ' ']),
            None => item.rsplit("::").next().unwrap(),
        };
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            names.insert(name.rsplit(" as ").next().unwrap().to_owned());
        }
    }
    names
}

#[test]
fn every_name_of_the_mappings_is_here() {
    let below = exported(include_str!("../../bifolio-map/src/lib.rs"));
    let here = exported(include_str!("../src/lib.rs"));
    assert!(below.len() > 20, "the list is not understood: {below:?}");
    let missing: Vec<_> = below.difference(&here).collect();
    assert!(missing.is_empty(), "not offered by the facade: {missing:?}");
}
