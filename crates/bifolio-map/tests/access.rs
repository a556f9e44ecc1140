//! Every method of access, on every kind of mapping, by every way to its bytes.

mod common;

use bifolio_map::{
    Access, AccessMut, AnonMap, Backend, Chunks, DroppableMap, Error, FileMap, Options, Reader,
    Reservation, SecretMap, SharedAtomic, SharedMap, View, ViewMut, Writer,
};
use common::random::Random;
use common::{TempFile, conformance};
use std::thread;

/// Some pages and a bit.
const LEN: usize = 20_003;

fn reads_both_ways(view: View<'_>, model: &[u8], base: u64, random: &mut Random) {
    conformance::reads(view, model, base, random);
    conformance::reads(view.by_syscall(), model, base, random);
}

#[test]
fn anonymous_memory_reads_as_a_slice() {
    let mut random = Random::new();
    let mut map = AnonMap::new(LEN).unwrap();
    map.copy_from_slice(&random.text(LEN));
    reads_both_ways(map.view(), &map, 0, &mut random);
}

#[test]
fn a_file_reads_as_a_slice() {
    let mut random = Random::new();
    let model = random.text(LEN);
    let file = TempFile::with(&model);
    let map = FileMap::open(&file.0).unwrap();
    reads_both_ways(map.view(), &model, 0, &mut random);
    let part = map.slice(4001..LEN).unwrap();
    reads_both_ways(part, &model[4001..], 4001, &mut random);
    let map = Options::new().backend(Backend::Read).open(&file.0).unwrap();
    reads_both_ways(map.view(), &model, 0, &mut random);
}

#[test]
fn a_part_of_a_file_reads_as_a_slice() {
    let mut random = Random::new();
    let model = random.text(LEN);
    let file = TempFile::with(&model);
    let map = Options::new().offset(5001).open(&file.0).unwrap();
    reads_both_ways(map.view(), &model[5001..], 5001, &mut random);
    let map = Options::new().offset(5001).backend(Backend::Read).open(&file.0).unwrap();
    reads_both_ways(map.view(), &model[5001..], 5001, &mut random);
}

#[test]
fn nothing_reads_as_an_empty_slice() {
    let mut random = Random::new();
    let file = TempFile::with(b"");
    reads_both_ways(FileMap::open(&file.0).unwrap().view(), b"", 0, &mut random);
    reads_both_ways(AnonMap::new(0).unwrap().view(), b"", 0, &mut random);
    let map = SharedMap::anon(0).unwrap();
    conformance::writes(map.view_mut(), 0, &mut random);
    conformance::writes(map.view_mut().by_syscall(), 0, &mut random);
}

#[test]
fn shared_memory_reads_and_writes_as_a_slice() {
    let mut random = Random::new();
    let (model, map) = (random.text(LEN), SharedMap::anon(LEN).unwrap());
    map.write_all_at(&model, 0).unwrap();
    reads_both_ways(map.view(), &model, 0, &mut random);
    conformance::writes(map.view_mut(), 0, &mut random);
    conformance::writes(map.view_mut().by_syscall(), 0, &mut random);
    conformance::atomics(map.view_mut(), &mut random);
}

#[test]
fn a_shared_file_reads_and_writes_as_a_slice() {
    let mut random = Random::new();
    let model = random.text(LEN);
    let file = TempFile::with(&model);
    let map = Options::new().offset(5001).open_shared(&file.0).unwrap();
    reads_both_ways(map.view(), &model[5001..], 5001, &mut random);
    conformance::writes(map.view_mut(), 5001, &mut random);
    conformance::writes(map.view_mut().by_syscall(), 5001, &mut random);
    assert_eq!(std::fs::read(&file.0).unwrap()[..5001], model[..5001]);
    conformance::atomics(
        map.view_mut().slice_mut(4096 - 5001 % 4096..LEN - 5001).unwrap(),
        &mut random,
    );
}

#[test]
fn a_private_copy_reads_and_writes_as_a_slice() {
    let mut random = Random::new();
    let model = random.text(LEN);
    let file = TempFile::with(&model);
    let map = Options::new().offset(5001).open_private(&file.0).unwrap();
    reads_both_ways(map.view(), &model[5001..], 5001, &mut random);
    conformance::writes(map.view_mut(), 5001, &mut random);
    conformance::writes(map.view_mut().by_syscall(), 5001, &mut random);
    let word = 8 - 5001 % 8;
    conformance::atomics(map.view_mut().slice_mut(word..LEN - 5001).unwrap(), &mut random);
    assert!(std::fs::read(&file.0).unwrap() == model, "a private write reached the file");
}

#[test]
fn reserved_addresses_read_and_write_as_a_slice_where_committed() {
    let mut random = Random::new();
    let map = Reservation::new(1 << 20).unwrap();
    map.commit(0..1 << 17).unwrap();
    let window = map.view_mut().slice_mut(0..1 << 15).unwrap();
    conformance::writes(window, 0, &mut random);
    conformance::writes(window.by_syscall(), 0, &mut random);
    conformance::atomics(window, &mut random);
    let model = random.text(window.len());
    window.write_all_at(&model, 0).unwrap();
    reads_both_ways(window.as_view(), &model, 0, &mut random);
}

/// Kinds that a kernel may not have, and that system calls may not copy.
#[test]
fn rare_memory_reads_and_writes_as_a_slice() {
    let mut random = Random::new();
    let mut check = |map: Result<&dyn AccessMut, &Error>| {
        let map = match map {
            Ok(map) => map,
            Err(error) => return println!("skipped: {error}"),
        };
        conformance::writes(map.view_mut(), 0, &mut random);
        conformance::atomics(map.view_mut(), &mut random);
        let model = random.text(map.len());
        map.write_all_at(&model, 0).unwrap();
        conformance::reads(map.view(), &model, 0, &mut random);
    };
    check(DroppableMap::new(1 << 14).as_ref().map(|map| map as &dyn AccessMut));
    check(SecretMap::new(1 << 14).as_ref().map(|map| map as &dyn AccessMut));
}

#[test]
fn threads_count_together() {
    let map = SharedMap::anon(4096).unwrap();
    let counter = map.atomic::<u32>(128).unwrap();
    let highest = map.atomic::<i64>(256).unwrap();
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for step in 0..5000 {
                    counter.fetch_add(1).unwrap();
                    highest.fetch_max(step * 4 + thread).unwrap();
                }
            });
        }
    });
    assert_eq!(counter.load().unwrap(), 20_000);
    assert_eq!(highest.load().unwrap(), 4999 * 4 + 3);
}

/// What may go to another thread, and what any object of the trait can do.
#[test]
fn views_go_anywhere() {
    fn everywhere<T: Send + Sync>() {}
    everywhere::<View<'_>>();
    everywhere::<ViewMut<'_>>();
    everywhere::<SharedAtomic<'_, u64>>();
    everywhere::<Reader<'_>>();
    everywhere::<Writer<'_>>();
    everywhere::<Chunks<'_, Vec<u8>>>();
    let map = SharedMap::anon(100).unwrap();
    let object: &dyn AccessMut = &map;
    object.write_all_at(b"object", 94).unwrap();
    assert_eq!(object.find(b"object", 0).unwrap(), Some(94));
    assert_eq!(object.view().load::<u8>(99).unwrap(), b't');
}

#[test]
#[should_panic(expected = "a buffer of no bytes")]
fn chunks_need_room() {
    let _ = AnonMap::new(1).unwrap().view().chunks([]);
}
