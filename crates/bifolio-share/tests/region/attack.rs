//! Peers that break their word: they shorten the file and scribble over everything. The answer is
//! an error, never a signal.
//!
//! # Safety
//!
//! Reads through the pointer of a region, as references to its objects do.
#![allow(unsafe_code, reason = "plain reads of shared memory")]

use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering::SeqCst;

use bifolio_map::{Access, AccessMut, StoreOrder};
use bifolio_share::{ErrorKind, Region};
use bifolio_sync::{Mutex, Peers};

use crate::common::{Child, Random};
use crate::support::{Name, counter};

/// A peer truncates while others lock, read and write by plain references.
#[test]
fn a_truncation_is_an_error() {
    let mut lost = 0;
    for round in 0..20 {
        let name = Name::new();
        let region = Region::options().max_len(1 << 20).create(&name.0, 1 << 18).unwrap();
        let lock =
            region.objects().find_or_construct("lock", || Mutex::new([0_u64; 1024])).unwrap();
        let path = name.path();
        let attacker = Child::run(|| {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            let len = file.metadata().unwrap().len();
            // At another moment each time, first.
            for _ in 0..round * 1000 {
                std::hint::spin_loop();
            }
            loop {
                file.set_len(if round % 2 == 0 { 0 } else { 8192 }).unwrap();
                file.set_len(len).unwrap();
            }
        });
        let mut error = None;
        for turn in 0..200_000_u64 {
            match lock.lock(&region) {
                Ok(mut numbers) => numbers.fill(turn),
                Err(found) => {
                    error = Some(found.to_string());
                    break;
                }
            }
            if let Err(found) = region.check() {
                error = Some(found.to_string());
                break;
            }
        }
        attacker.kill();
        lost += u32::from(region.check().is_err());
        if region.check().is_err() {
            assert!(error.is_some());
            assert_eq!(region.grow(1 << 19).unwrap_err().kind(), ErrorKind::Lost);
            assert_eq!(region.prefault(1).unwrap_err().kind(), ErrorKind::Lost);
            assert!(region.me().is_err());
            assert_eq!(region.view().len(), 0);
        }
    }
    println!("{lost} of 20 regions lost pages that were in use");
    assert!(lost > 0, "nothing was ever lost");
}

/// Every page is lost while it is read plainly, and the header with them.
#[test]
fn lost_pages_read_as_zeros() {
    let name = Name::new();
    let region = Region::create(&name.0, 1 << 16).unwrap();
    counter(&region).store(u64::MAX, SeqCst);
    let (start, len) = (region.as_ptr(), region.len());
    let file = std::fs::OpenOptions::new().write(true).open(name.path()).unwrap();
    let file_len = file.metadata().unwrap().len();
    file.set_len(0).unwrap();
    region.check().unwrap();
    for offset in (0..file_len as usize).step_by(512) {
        // SAFETY: inside of the region, which is mapped; atomics are all that is there.
        let byte = unsafe { start.wrapping_add(offset).read_volatile() };
        assert_eq!(byte, 0);
    }
    assert_eq!(region.check().unwrap_err().kind(), ErrorKind::Lost);
    // Its length never becomes less for who has seen it.
    assert_eq!(region.len(), len);
    assert_eq!(Region::open(&name.0).unwrap_err().kind(), ErrorKind::NotARegion);
}

/// Scribbling over every byte, and over the length of the file, while it is used as bytes.
#[test]
fn scribbling_gives_errors() {
    let random = &mut Random::new();
    let seed = random.next();
    let name = Name::new();
    let options = Region::options().max_len(1 << 22);
    let bytes = options.create(&name.0, 1 << 18).unwrap().untrusted();
    let bytes = bytes.map_err(|(_, error)| error).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(name.path()).unwrap();
    let good = std::fs::read(name.path()).unwrap();
    let scribbler = Child::run(|| {
        let random = &mut Random::of(seed);
        loop {
            let len = good.len() as u64;
            match random.below(8) {
                0 => file.set_len(random.below(2 * len)).unwrap(),
                1 => file.write_all_at(&good, 0).unwrap(),
                2 => file.write_all_at(&random.next().to_le_bytes(), 128).unwrap(),
                3 => file.write_all_at(&random.next().to_le_bytes(), random.below(128)).unwrap(),
                _ => file.write_all_at(&random.next().to_le_bytes(), random.below(len)).unwrap(),
            }
        }
    });
    let (mut done, mut refused, mut damaged) = (0_u32, 0_u32, 0_u32);
    let mut count = |is_done| if is_done { done += 1 } else { refused += 1 };
    for turn in 0..10_000_000 {
        // On a busy machine the other does not get to run for long.
        if turn >= 100_000 && damaged > 0 {
            break;
        }
        let offset = random.below(1 << 19) as usize;
        match random.below(5) {
            0 => count(bytes.load::<[u8; 100]>(offset).is_ok()),
            1 => count(bytes.write_all_at(&[1; 100], offset).is_ok()),
            2 => {
                count(bytes.atomic::<u64>(offset & !7).is_ok_and(|word| word.fetch_add(1).is_ok()))
            }
            3 => count(
                bytes
                    .atomic::<u32>(offset & !3)
                    .is_ok_and(|word| word.store(9, StoreOrder::Release).is_ok()),
            ),
            _ => damaged += u32::from(bytes.check().is_err()),
        }
        // To open it anew is an error, or it is good at this moment.
        if offset.is_multiple_of(64) {
            count(options.open(&name.0).is_ok());
        }
    }
    scribbler.kill();
    println!("{done} done, {refused} refused, {damaged} found damaged");
    assert!(done > 0 && refused > 0 && damaged > 0);
}

/// A region whose header names a maximum that is not its file's is opened, and its room is not.
#[test]
fn a_reader_of_what_is_truncated_gets_errors() {
    let name = Name::new();
    let region = Region::create(&name.0, 1 << 16).unwrap();
    let reader = Region::options().open_read_only(&name.0).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(name.path()).unwrap();
    let len = reader.view().len();
    file.set_len(file.metadata().unwrap().len() - 8192).unwrap();
    assert!(reader.load::<u64>(len - 8).is_err());
    file.set_len(0).unwrap();
    assert_eq!(reader.view().len(), 0);
    drop(region);
}
