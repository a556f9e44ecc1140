//! Attempts that go on, and attempts that end, with the fault of a real page.
//!
//! # Safety
//!
//! Unsafe code makes that fault, by a guarded copy of one byte.
#![allow(unsafe_code, reason = "one guarded byte")]

use super::*;
use crate::access::{Access, AccessMut};
use crate::{FileMap, SharedMap};
use std::fs::{self, File};
use std::{env, format, process};

const PAGE: usize = 64 << 10;

/// A mapping of two pages whose file has one, and the file.
fn shortened(name: &str) -> (FileMap, File) {
    let path = env::temp_dir().join(format!("bifolio-attempt-{name}-{}", process::id()));
    fs::write(&path, [7; 2 * PAGE]).unwrap();
    let map = FileMap::open(&path).unwrap();
    let file = File::options().write(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    file.set_len(PAGE as u64).unwrap();
    (map, file)
}

/// The fault of a page behind the end of the file.
fn fault(map: &FileMap) -> Fault {
    let mut answer = None;
    let _ = map.view().guarded(Operation::Read, PAGE, 1, |_| {
        let to = SharedMap::anon(1).unwrap();
        let (to, from) = (to.view_mut().address(0), map.view().address(PAGE));
        answer = Some(touch(to, from));
        touch(to, from)
    });
    answer.unwrap().unwrap_err()
}

fn touch(to: *mut u8, from: *const u8) -> Result<(), Fault> {
    // SAFETY: one byte of a mapping of the test's own.
    unsafe { bifolio_sys::guard::copy(to, from, 1) }
}

#[test]
fn it_goes_on_behind_what_is_done() {
    let (map, file) = shortened("goes-on");
    let fault = fault(&map);
    let mut asked = std::vec::Vec::new();
    let answer = map.view().guarded(Operation::Read, PAGE - 3, 20, |done| {
        asked.push(done);
        file.set_len(2 * PAGE as u64).unwrap();
        match asked.len() {
            1 => Err(Fault { done: 3, ..fault }),
            2 => Err(Fault { done: 0, ..fault }),
            3 => Err(Fault { done: 4, ..fault }),
            _ => Ok("done"),
        }
    });
    assert_eq!((answer.unwrap(), asked), ("done", std::vec![0, 3, 3, 7]));
}

#[test]
fn it_gives_up_where_nothing_changes() {
    let (map, file) = shortened("gives-up");
    let fault = fault(&map);
    file.set_len(2 * PAGE as u64).unwrap();
    let mut calls = 0;
    let error = map
        .view()
        .guarded(Operation::Read, PAGE - 3, 200, |done| {
            calls += 1;
            // One byte each time, up to a byte that never comes.
            Err::<(), _>(Fault { done: usize::from(done < 100), ..fault })
        })
        .unwrap_err();
    assert_eq!((error.kind(), error.done_bytes()), (ErrorKind::NotAccessible, 100));
    assert_eq!(calls, 100 + RETRIES_MAX);
}

#[test]
fn it_counts_what_system_calls_did() {
    let (map, _file) = shortened("counts");
    let mut attempt = Attempt::new(map.view(), Operation::Read, 5, PAGE);
    attempt.note(Ok(7)).unwrap();
    attempt.note(Err(Errno::INTR)).unwrap();
    attempt.note(Ok(PAGE - 12)).unwrap();
    assert_eq!(attempt.done(), PAGE - 5);
    let truncated = ErrorKind::Truncated { len_bytes: PAGE as u64 };
    for answer in [Ok(0), Err(Errno::FAULT)] {
        let error = attempt.note(answer).unwrap_err();
        assert_eq!((error.kind(), error.done_bytes()), (truncated, PAGE - 5));
    }
    let error = attempt.note(Err(Errno::IO)).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Media, Some(Errno::IO)));
}
