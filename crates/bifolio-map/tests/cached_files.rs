//! Many files at once: what is told of each is what is told of it alone, in their order, whether or
//! not the threads may have tables of descriptors of their own.

mod scratch;

use bifolio_map::memory::{self, CachedFacts, CachedFile};
use bifolio_map::{Errno, Error, Residency};
use scratch::{Scratch, assert_plays, child, filter, scenario};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// More than some threads can be given at once.
const FILES: usize = 4000;

/// A name in one of two directories, of which every seventh is absent; none for every eleventh.
struct Item {
    index: usize,
    directory: PathBuf,
    name: String,
}

fn items(scratch: &Scratch) -> Vec<Item> {
    let directories = [scratch.join("a"), scratch.join("b")];
    directories.iter().for_each(|directory| fs::create_dir(directory).unwrap());
    let item = |index: usize| {
        let item = Item {
            index,
            directory: directories[index / 300 % 2].clone(),
            name: format!("{index}"),
        };
        if !index.is_multiple_of(7) {
            File::create(item.directory.join(&item.name)).unwrap().set_len(index as u64).unwrap();
        }
        item
    };
    (0..FILES).map(item).collect()
}

fn name(item: &Item) -> Option<(&Path, &OsStr)> {
    (!item.index.is_multiple_of(11)).then_some((&item.directory, OsStr::new(&item.name)))
}

fn assert_is_alone(item: &Item, facts: &CachedFacts) {
    let directory = File::open(&item.directory).unwrap();
    let file = CachedFile::open(Some(directory.as_fd()), Path::new(&item.name)).unwrap();
    let alone = (file.is_regular(), file.len_bytes(), file.identity(), file.links());
    assert_eq!((facts.is_regular, facts.len_bytes, facts.identity, facts.links), alone);
    assert_eq!((facts.modified, facts.len_bytes), (file.modified(), item.index as u64));
    // Of holes nothing is cached.
    let page = bifolio_map::page::page_size().bytes() as u64;
    match facts.residency {
        Residency::Known(pages) => {
            let wanted = facts.len_bytes.div_ceil(page).min(1);
            assert_eq!((pages.total_pages, pages.resident_pages), (wanted, 0));
        }
        Residency::Unknown(why) => println!("skipped: nobody tells ({why:?})"),
        _ => unreachable!(),
    }
}

fn check() {
    let scratch = Scratch::new();
    let mut next = 0;
    memory::cached_files(items(&scratch), name, 0..1, |item, facts| {
        assert_eq!(item.index, next);
        next += 1;
        match facts {
            None => assert_eq!(item.index % 11, 0),
            Some(Err(error)) => {
                assert_eq!((error.errno(), item.index % 7), (Some(Errno::NOENT), 0))
            }
            Some(Ok(facts)) => assert_is_alone(&item, &facts),
        }
        Ok::<(), Error>(())
    })
    .unwrap();
    assert_eq!(next, FILES);
}

#[test]
fn what_is_told_of_many_is_what_is_told_of_each() {
    check();
}

#[test]
fn a_crew_that_may_not_leave_the_table_works_in_it() {
    assert_plays(&mut child("refused"));
}

#[test]
fn who_has_enough_says_so() {
    let scratch = Scratch::new();
    let mut delivered = 0;
    let ended = memory::cached_files(items(&scratch), name, 0..u64::MAX, |item, _| {
        delivered += 1;
        if item.index == 700 { Err("enough") } else { Ok(()) }
    });
    assert_eq!((ended, delivered), (Err("enough"), 701));
}

#[test]
fn what_lies_in_no_directory_is_an_error_for_each() {
    let absent = Path::new("/proc/self/absent");
    let mut errors = vec![];
    let note = |name, facts: Option<bifolio_map::Result<CachedFacts>>| {
        errors.push((name, facts.unwrap().unwrap_err().errno()));
        Ok::<(), Error>(())
    };
    memory::cached_files(["a", "b"], |name| Some((absent, OsStr::new(*name))), 0..0, note).unwrap();
    assert_eq!(errors, [("a", Some(Errno::NOENT)), ("b", Some(Errno::NOENT))]);
}

/// Where the child starts.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        None => {}
        Some("refused") => match filter::refuse(libc::SYS_close_range, None, libc::ENOSYS) {
            Err(error) => println!("skipped: seccomp filters cannot be installed: {error}"),
            Ok(()) => check(),
        },
        Some(other) => panic!("no scenario is called {other}"),
    }
}
