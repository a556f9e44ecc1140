//! Splitting and joining, against a vector that is split and joined.

use super::{Random, is_mapped, page, seed};
use bifolio_map::{AnonMap, ErrorKind, Operation, Options};

fn filled(options: Options, len: usize) -> AnonMap {
    let mut map = options.anon(len).unwrap();
    for (at, byte) in map.iter_mut().enumerate() {
        *byte = (at / 7) as u8;
    }
    map
}

#[test]
fn a_split_keeps_every_byte_where_it_was() {
    for at in [0, 1, 2, 3] {
        let map = filled(Options::new(), 3 * page());
        let (bytes, start) = (map.to_vec(), map.as_ptr());
        let at = at * page();
        let (front, back) = map.split_at(at).unwrap();
        assert_eq!((&front[..], &back[..]), bytes.split_at(at));
        if at != 0 {
            assert_eq!(front.as_ptr(), start);
        }
        if at != 3 * page() {
            assert_eq!(back.as_ptr(), start.wrapping_add(at));
        }
        let map = front.join(back).unwrap();
        assert_eq!((map.as_ptr(), &map[..]), (start, &bytes[..]));
    }
}

#[test]
fn a_split_is_at_a_page_inside() {
    let map = filled(Options::new(), 3 * page() - 5);
    for (at, kind) in [
        (1, ErrorKind::Misaligned { align_bytes: page() }),
        (3 * page() - 6, ErrorKind::Misaligned { align_bytes: page() }),
        (3 * page(), ErrorKind::OutOfBounds { len_bytes: 3 * page() as u64 - 5 }),
        (usize::MAX, ErrorKind::OutOfBounds { len_bytes: 3 * page() as u64 - 5 }),
    ] {
        let map = filled(Options::new(), 3 * page() - 5);
        let bytes = map.to_vec();
        let (map, error) = map.split_at(at).unwrap_err();
        assert_eq!((error.operation(), error.kind()), (Operation::Split, kind));
        assert_eq!(map[..], bytes[..]);
    }
    let len = map.len();
    let (map, empty) = map.split_at(len).unwrap();
    assert_eq!((map.len(), empty.len()), (len, 0));
}

#[test]
fn only_neighbours_join() {
    let (front, back) = filled(Options::new(), 4 * page()).split_at(2 * page()).unwrap();
    let (back, front, error) = back.join(front).unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Join, ErrorKind::Invalid));
    // A front that does not show its last page to the end would show bytes that nobody owns.
    let mut front = front;
    front.resize(2 * page() - 1).unwrap();
    let (_, back, error) = front.join(back).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    // Nor do two whose guard pages lie between.
    let guarded = filled(Options::new().guard_pages(1, 1), page());
    let (_, _, error) = guarded.join(back).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn guard_pages_stay_at_the_outer_ends() {
    let map = filled(Options::new().guard_pages(1, 1), 2 * page());
    let bytes = map.to_vec();
    let (front, back) = map.split_at(page()).unwrap();
    let (first, last) = (front.as_ptr().addr(), back.as_ptr().addr() + page());
    assert!(is_mapped(first - 1) && is_mapped(last));
    // The parts are joined again, split again, and each can go alone.
    let (front, back) = front.join(back).unwrap().split_at(page()).unwrap();
    assert_eq!([&front[..], &back[..]].concat(), bytes);
    drop(front);
    assert!(is_mapped(last));
    assert_eq!(back[..], bytes[page()..]);
}

/// Pieces are split, joined, written and dropped at random; every piece keeps its bytes.
#[test]
fn pieces_agree_with_a_shadow() {
    let mut random = Random(seed());
    for _ in 0..10 {
        let map = filled(Options::new(), 32 * page());
        let mut pieces = vec![(map.to_vec(), map)];
        for step in 0..200 {
            let at = random.below(pieces.len());
            let (mut shadow, map) = pieces.remove(at);
            match random.below(4) {
                0 | 1 => {
                    let cut = page() * random.below(map.len() / page() + 1);
                    let back_shadow = shadow.split_off(cut);
                    let (front, back) = map.split_at(cut).unwrap();
                    pieces.insert(at, (back_shadow, back));
                    pieces.insert(at, (shadow, front));
                }
                2 if at < pieces.len() => {
                    let (next_shadow, next) = pieces.remove(at);
                    shadow.extend(next_shadow);
                    pieces.insert(at, (shadow, map.join(next).unwrap()));
                }
                _ => {
                    let mut map = map;
                    map.fill(step as u8);
                    shadow.fill(step as u8);
                    pieces.insert(at, (shadow, map));
                }
            }
            for (shadow, map) in &pieces {
                assert_eq!(shadow[..], map[..]);
            }
        }
    }
}
