//! Bringing parts of files into memory, by reading them as few times and as far ahead as helps.
//!
//! 1. Nothing is asked for beyond the ranges: read-ahead of the kernel's own choice is off.
//! 2. So much is on its way at once that a disk with queues has work; what was asked for is then
//!    read, so that it is there when the call returns.
//!
//! It does not find out what is absent: whoever calls has asked.

use bifolio::{Access, Advice, Backend, Options, Pages, Pattern};
use std::fs::File;
use std::ops::Range;

/// A piece that is asked for at once: what the kernel takes at least, on every disk.
const PIECE_BYTES: u64 = 128 << 10;

/// How many pieces may be on their way.
const AHEAD: usize = 64;

/// Reads these ranges of a file, and tells `progress` of each piece how long it was.
///
/// # Errors
///
/// Of the first range that cannot be had; what was told before is in memory.
pub(crate) fn load(
    file: File,
    ranges: &[Range<u64>],
    mut progress: impl FnMut(u64),
) -> bifolio::Result<()> {
    let map = Options::new().backend(Backend::Read).map_file(file).map_err(|(_, error)| error)?;
    let all = || ranges.iter().flat_map(pieces);
    map.access(0..map.len(), Pattern::Random)?;
    let mut asked = all();
    let mut ask = |count| {
        // A hint: what cannot be read shows when it is read.
        asked.by_ref().take(count).for_each(|piece| {
            let _ = map.advise(piece, Advice::WillNeed);
        });
    };
    ask(AHEAD);
    for piece in all() {
        map.populate(piece.clone())?;
        progress(piece.len() as u64);
        ask(1);
    }
    Ok(())
}

fn pieces(range: &Range<u64>) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = range.end;
    let starts = (range.start..end).step_by(PIECE_BYTES as usize);
    starts.map(move |start| start as usize..(start + PIECE_BYTES).min(end) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bifolio::ErrorKind;

    #[test]
    fn a_file_that_is_cut_meanwhile_is_an_error_behind_what_it_still_has() {
        let path = std::env::temp_dir().join(format!("bifolio-load-{}", std::process::id()));
        std::fs::write(&path, vec![7; 1 << 20]).unwrap();
        let file = File::open(&path).unwrap();
        let cut = File::options().write(true).open(&path).unwrap();
        let mut done = 0;
        let answer = load(file, std::slice::from_ref(&(0..1 << 20)), |bytes| {
            done += bytes;
            cut.set_len(300_000).unwrap();
        });
        std::fs::remove_file(&path).unwrap();
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 300_000 });
        assert_eq!(done, 2 * PIECE_BYTES);
    }

    #[test]
    fn pieces_are_the_ranges_and_no_more() {
        let found: Vec<_> = pieces(&(5..300_000)).collect();
        assert_eq!(found, [5..131_077, 131_077..262_149, 262_149..300_000]);
    }
}
