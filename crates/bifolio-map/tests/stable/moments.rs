//! Copies of files that are written meanwhile: of one moment, or refused with the reason.

use crate::clones::clones;
use crate::harness::Attacker;
use bifolio_map::{FileMap, NoRung, Policy, Refusal, Rung, Stable};
use std::fs;
use std::path::Path;

/// Long enough that a write and a copy take a while.
const LEN: usize = 24 << 20;

/// How many writes are met.
const WRITES: u8 = 8;

/// How often a file that never rests is copied where it can be.
const CLONES: usize = 3;

/// How often at most to try until a copy is given up.
const TRIES_MAX: usize = 200;

fn copy(path: &Path) -> Result<Stable, NoRung> {
    FileMap::open(path).unwrap().stable(&Policy::new())
}

/// A copy holds what was there before a write, or what was there after it, though the write was
/// under way when the copy began.
pub(crate) fn a_copy_is_of_one_moment(path: &Path) {
    fs::write(path, vec![0; LEN]).unwrap();
    let mut writer = Attacker::start("rewrite", path);
    for generation in 1..=WRITES {
        writer.begin();
        match copy(path) {
            Ok(copy) => {
                let first = copy[0];
                assert!([generation, generation - 1].contains(&first), "{first} of {generation}");
                let same = vec![first; LEN];
                assert!(*copy == same, "generation {generation}: the copy mixes moments");
            }
            Err(error) => {
                let reason = error.reason(Rung::Copied);
                assert!(matches!(reason, Some(Refusal::Changing { .. })), "{error}");
            }
        }
        writer.wait();
        assert_eq!(copy(path).unwrap()[LEN - 1], generation);
    }
}

/// A file that is written all the time is given up, and the reason says so; where the file system
/// clones, the copy is made of a clone.
pub(crate) fn a_file_that_never_rests_is_cloned_or_refused(path: &Path) {
    fs::write(path, vec![0; LEN]).unwrap();
    let mut writer = Attacker::start("write-for-ever", path);
    writer.begin();
    if clones(path) {
        for _ in 0..CLONES {
            assert!(copy(path).unwrap()[5..] == vec![0; LEN - 5]);
        }
        return;
    }
    // The writer may have to wait for its turn while the copies are made.
    let refused = (0..TRIES_MAX).find_map(|_| copy(path).err());
    let error = refused.expect("the writer never came to write");
    assert!(matches!(error.reason(Rung::Copied), Some(Refusal::Changing { .. })), "{error}");
    let error = std::io::Error::from(error);
    assert!(error.to_string().contains("copied: it changed each of"), "{error}");
}
