//! What `#[derive(Shared)]` takes, and what its fingerprint tells apart. What it refuses is tested
//! beside it.

use bifolio_share::{Fingerprint, Shared};
use std::sync::atomic::AtomicU64;

#[derive(Shared)]
#[shared(crate = "bifolio_share")]
#[repr(C)]
struct Sensor {
    count: AtomicU64,
    range: Range<f32>,
    unit: Unit,
    reserved: [u8; 7],
}

#[derive(Shared)]
#[shared(crate = "bifolio_share")]
#[repr(C)]
struct Range<T> {
    low: T,
    high: T,
}

#[derive(Shared)]
#[shared(crate = "bifolio_share")]
#[repr(u8)]
enum Unit {
    Kelvin = 1,
    None = 0,
    Metre = 7,
}

#[derive(Shared)]
#[shared(crate = "bifolio_share")]
#[repr(transparent)]
struct Fixed<const DIGITS: u32>(i64);

#[derive(Shared)]
#[shared(crate = "bifolio_share")]
#[repr(C)]
struct Nothing;

#[derive(Shared)]
#[shared(crate = "bifolio_share")]
#[repr(C, align(64))]
struct Line<T, const N: usize>
where
    T: Copy,
{
    values: [T; N],
}

/// One of each kind of difference: a module holds the type, so that its name stays.
macro_rules! variants_of_pair {
    ($($module:ident: $item:item)*) => {$(
        mod $module {
            use bifolio_share::Shared;
            #[derive(Shared)]
            #[shared(crate = "bifolio_share")]
            #[allow(dead_code, reason = "only its fingerprint is looked at")]
            $item
            pub(super) const TOLD: bifolio_share::Fingerprint = <Pair as Shared>::FINGERPRINT;
        }
    )*
        const PAIRS: &[(&str, Fingerprint)] = &[$((stringify!($module), $module::TOLD)),*];
    };
}

variants_of_pair! {
    base: #[repr(C)] struct Pair { a: u32, b: u32 }
    names: #[repr(C)] struct Pair { a: u32, c: u32 }
    order: #[repr(C)] struct Pair { b: u32, a: u32 }
    types: #[repr(C)] struct Pair { a: u32, b: i32 }
    numbered: #[repr(C)] struct Pair(u32, u32);
    size: #[repr(C)] struct Pair { a: u32, b: [u32; 2] }
    align: #[repr(C, align(8))] struct Pair { a: u32, b: u32 }
    variants: #[repr(u32)] enum Pair { A, B }
    variant_names: #[repr(u32)] enum Pair { A, C }
    variant_values: #[repr(u32)] enum Pair { A, B = 2 }
    variant_sign: #[repr(i32)] enum Pair { A, B }
}

#[test]
fn types_that_differ_have_fingerprints_that_differ() {
    for (index, (name, fingerprint)) in PAIRS.iter().enumerate() {
        let same = PAIRS[..index].iter().find(|(_, other)| other == fingerprint);
        assert_eq!(same, None, "{name}");
    }
    assert_ne!(<Fixed<2>>::FINGERPRINT, <Fixed<3>>::FINGERPRINT);
    assert_ne!(<Range<u32>>::FINGERPRINT, <Range<f32>>::FINGERPRINT);
    assert_ne!(Unit::FINGERPRINT, u8::FINGERPRINT);
    assert_ne!(Sensor::FINGERPRINT, Nothing::FINGERPRINT);
}

#[test]
fn the_fingerprint_is_the_documented_one() {
    let by_hand = Fingerprint::of_type::<Range<f32>>("Range")
        .field("low", f32::FINGERPRINT)
        .field("high", f32::FINGERPRINT);
    assert_eq!(<Range<f32>>::FINGERPRINT, by_hand);
    let by_hand = Fingerprint::of_type::<Fixed<3>>("Fixed").number(3).field("0", i64::FINGERPRINT);
    assert_eq!(<Fixed<3>>::FINGERPRINT, by_hand);
}

#[test]
fn zeros_are_a_value() {
    assert!(matches!(Unit::None as u8, 0));
    assert!(Unit::Kelvin as u8 == 1 && Unit::Metre as u8 == 7);
    assert_eq!(size_of::<Line<u64, 8>>(), 64);
    let sensor = Sensor {
        count: AtomicU64::new(0),
        range: Range { low: 0.0, high: 1.0 },
        unit: Unit::Metre,
        reserved: [0; 7],
    };
    assert_eq!(sensor.count.into_inner() + u64::from(sensor.reserved[0]), 0);
    assert!(sensor.range.low < sensor.range.high && matches!(sensor.unit, Unit::Metre));
    assert_eq!((Fixed::<2>(5).0, size_of_val(&Nothing)), (5, 0));
    assert_eq!(Line { values: [1_u64; 8] }.values.len(), 8);
    let _: Fingerprint = <Line<u64, 8>>::FINGERPRINT;
}
