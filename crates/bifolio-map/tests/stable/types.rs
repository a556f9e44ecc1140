//! Stable bytes as other crates take them.

use crate::scratch::{Scratch, pattern};
use bifolio_map::{FileMap, Policy, Stable};

fn stable() -> Stable {
    let path = Scratch::new();
    let path = path.file("file", &pattern(50_000));
    FileMap::open(path).unwrap().stable(&Policy::new()).unwrap()
}

#[cfg(feature = "bytes")]
#[test]
fn bytes_without_a_copy() {
    let stable = stable();
    let address = stable.as_ptr();
    let bytes = bytes::Bytes::from(stable);
    assert_eq!(bytes.as_ptr(), address);
    let part = bytes.slice(10_000..20_000);
    drop(bytes);
    let same = std::thread::spawn(move || part == pattern(50_000)[10_000..20_000]).join().unwrap();
    assert!(same);
}

#[cfg(feature = "stable_deref_trait")]
#[test]
fn the_address_stays_when_the_value_moves() {
    fn address_stays<T: stable_deref_trait::StableDeref<Target = [u8]>>(value: T) {
        let address = value.as_ptr();
        let moved = Box::new(value);
        assert_eq!(moved.as_ptr(), address);
    }
    address_stays(stable());
    address_stays(bifolio_map::AnonMap::new(50_000).unwrap());
}

#[test]
fn it_tells_its_way_and_its_length() {
    let told = format!("{:?}", stable());
    assert!(told.contains("Copied") && told.contains("50000"), "{told}");
    assert_eq!(AsRef::<[u8]>::as_ref(&stable()), pattern(50_000));
}
