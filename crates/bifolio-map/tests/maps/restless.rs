//! Processes that change while they are looked at: what is told was so.

use super::scratch::Scratch;
use bifolio_map::memory::{Detail, Maps, Process, maps_with};
use bifolio_map::{AnonMap, Mapping, Options, page::page_size};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

fn assert_orderly(maps: &Maps) {
    let regions = maps.regions();
    let overlap = regions.windows(2).find(|pair| pair[0].range.end > pair[1].range.start);
    assert!(overlap.is_none() || !maps.is_consistent(), "{overlap:?}");
}

#[test]
pub(crate) fn mappings_that_come_and_go_are_not_mixed_up() {
    let page = page_size().bytes();
    let marked = Options::new().guard_pages(1, 1).anon(5 * page).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut pages = 1;
            while !is_over.load(Ordering::SeqCst) {
                let maps = [pages, pages + 1, 7].map(|pages| AnonMap::new(pages * page).unwrap());
                assert!(maps.iter().all(|map| map[0] == 0));
                pages = pages % 50 + 1;
            }
        });
        for detail in [Detail::Layout, Detail::Pages, Detail::Shares].repeat(30) {
            let maps = maps_with(Process::this(), detail).unwrap();
            assert_orderly(&maps);
            // What does not change is found, whatever changes beside it.
            let found = maps.find(marked.as_ptr().addr()).unwrap();
            assert_eq!(found.range.len(), 5 * page);
        }
        is_over.store(true, Ordering::SeqCst);
    });
}

#[test]
pub(crate) fn a_process_that_changes_its_program_is_one_or_the_other() {
    let scratch = Scratch::for_everyone();
    let text = scratch.file("text", b"#!/bin/sh\nexec \"$0\"\n");
    // By a process: a child that another thread forks meanwhile would inherit the descriptor that
    // writes it, and what is open to be written cannot be run.
    let script = scratch.join("again");
    assert!(Command::new("cp").args([&text, &script]).status().unwrap().success());
    fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
    let Ok(mut process) = Command::new(&script).stdin(Stdio::null()).spawn() else {
        return println!("skipped: programs may not be started from the temporary directory");
    };
    for detail in [Detail::Layout, Detail::Pages, Detail::Shares].repeat(50) {
        let maps = maps_with(process.id(), detail).unwrap();
        assert!(!maps.regions().is_empty());
        assert_orderly(&maps);
    }
    process.kill().unwrap();
    process.wait().unwrap();
}
