//! What a command reads: a file through a mapping, or a stream where there is nothing to map.

use crate::failure::Failure;
use crate::name::shown;
use crate::progress::Progress;
use bifolio::{Access, ErrorKind, FileKind, FileMap};
use clap::Args;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::ops::Range;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// How many bytes are read at once: enough that the calls cost nothing, little enough that they
/// stay in the cache.
const BLOCK_BYTES: usize = 256 << 10;

/// The path that means standard input.
const STDIN: &str = "-";

/// The path of a file that has to be one: `-` is what standard input was redirected from.
pub(crate) fn file_path(path: &Path) -> &Path {
    if path == Path::new(STDIN) { Path::new("/dev/stdin") } else { path }
}

/// The part of the input that a command looks at.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Start at this byte: 4096, 0x1000, 4KiB
    #[arg(long, short = 's', value_name = "BYTES", default_value = "0", hide_default_value = true)]
    #[arg(value_parser = crate::bytes::parse)]
    pub(crate) offset: u64,

    /// Stop after this many bytes
    #[arg(long, short = 'l', visible_alias = "len", value_name = "BYTES")]
    #[arg(value_parser = crate::bytes::parse)]
    pub(crate) length: Option<u64>,
}

/// A piece of the input.
pub(crate) enum Chunk<'a> {
    /// These bytes.
    Data(&'a [u8]),
    /// So many zeros, which nobody stored.
    Hole(u64),
}

/// Something that can be read from front to back.
pub(crate) enum Input {
    Map { path: PathBuf, map: FileMap },
    Stream { path: PathBuf, reader: Box<dyn Read> },
}

impl Input {
    /// Opens a file, or standard input for `-`.
    ///
    /// Pipes and devices become streams.
    pub(crate) fn open(path: &Path) -> Result<Input, Failure> {
        if path == Path::new(STDIN) {
            return Ok(Input::Stream { path: path.into(), reader: Box::new(io::stdin().lock()) });
        }
        let stat = std::fs::metadata(path).map_err(|error| Failure::file(path, error))?;
        let kind = stat.file_type();
        // Not to be opened twice: who writes to a pipe would see its reader leave.
        if kind.is_fifo() || kind.is_char_device() {
            return Input::stream(path);
        }
        match FileMap::open(path) {
            Ok(map) => Ok(Input::Map { path: path.into(), map }),
            // A stream under a regular file's name.
            Err(error) if error.kind() == ErrorKind::NotMappable(FileKind::Other) => {
                Input::stream(path)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn stream(path: &Path) -> Result<Input, Failure> {
        let file = File::open(path).map_err(|error| Failure::file(path, error))?;
        Ok(Input::Stream { path: path.into(), reader: Box::new(file) })
    }

    /// The bytes of the part that exist, where that is known: a stream's end is not.
    fn range(&self, part: Part) -> Range<u64> {
        let len = match self {
            Input::Map { map, .. } => map.len() as u64,
            Input::Stream { .. } => u64::MAX,
        };
        let start = part.offset.min(len);
        let end = part.length.map_or(len, |length| start.saturating_add(length).min(len));
        start..end
    }

    /// Whether its bytes may come slowly, so that each is to be shown when it has come.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Input::Stream { .. })
    }

    /// The offset behind the part, where that is known.
    pub(crate) fn end(&self, part: Part) -> Option<u64> {
        matches!(self, Input::Map { .. }).then(|| self.range(part).end)
    }

    /// Gives the part to `each`, piece by piece. What could be read before a failure is given
    /// before the failure is returned.
    ///
    /// A hole comes in pieces of at most `hole_bytes_max`: before each the file is asked whether it
    /// still reaches so far.
    pub(crate) fn read(
        self,
        part: Part,
        hole_bytes_max: usize,
        mut each: impl FnMut(Chunk<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let range = self.range(part);
        match self {
            Input::Map { path, map } => read_map(&path, &map, range, hole_bytes_max, &mut each),
            Input::Stream { path, reader } => {
                read_stream(reader, range, &mut each, |error| Failure::file(&path, error))
            }
        }
    }
}

fn read_map(
    path: &Path,
    map: &FileMap,
    range: Range<u64>,
    hole_bytes_max: usize,
    each: &mut impl FnMut(Chunk<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // On a terminal the output itself shows how far it is.
    let total = if io::stdout().is_terminal() { 0 } else { range.end - range.start };
    let mut progress = Progress::new(shown(path), total);
    let mut block = vec![0; BLOCK_BYTES];
    let range = range.start as usize..range.end as usize;
    let mut at = range.start;
    for data in map.data_ranges(range.clone())? {
        let data = match data {
            Ok(data) => data,
            Err(error) => {
                // What the file still has of the hole at its end.
                let end = at + error.done_bytes();
                read_hole(map, at..end, hole_bytes_max, each)?;
                map.check_reaches(end..range.end)?;
                return Err(error.into());
            }
        };
        read_hole(map, at..data.start, hole_bytes_max, each)?;
        at = data.start;
        while at < data.end {
            progress.at((at - range.start) as u64);
            let want = (data.end - at).min(BLOCK_BYTES);
            let answer = map.read_exact_at(&mut block[..want], at);
            // Asked after reading; the end that it tells is the true one, a fault's lies at the end
            // of a page.
            let answer = map.check_reaches(at..at + want).and(answer);
            match answer.as_ref().map_or_else(|error| error.done_bytes(), |()| want) {
                // Nothing at all.
                0 => answer?,
                // All, or what there was: the rest is asked for again, and then by its own range.
                done => {
                    each(Chunk::Data(&block[..done]))?;
                    at += done;
                }
            }
        }
    }
    read_hole(map, at..range.end, hole_bytes_max, each)
}

/// Gives a hole, as far as the file reaches: nobody reads it, so no access would tell.
fn read_hole(
    map: &FileMap,
    range: Range<usize>,
    bytes_max: usize,
    each: &mut impl FnMut(Chunk<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut at = range.start;
    while at < range.end {
        let want = (range.end - at).min(bytes_max);
        let answer = map.check_reaches(at..at + want);
        match answer.as_ref().map_or_else(|error| error.done_bytes(), |()| want) {
            0 => answer?,
            done => {
                each(Chunk::Hole(done as u64))?;
                at += done;
            }
        }
    }
    Ok(())
}

fn read_stream(
    mut reader: impl Read,
    range: Range<u64>,
    each: &mut impl FnMut(Chunk<'_>) -> Result<(), Failure>,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<(), Failure> {
    io::copy(&mut (&mut reader).take(range.start), &mut io::sink()).map_err(&failed)?;
    let mut reader = reader.take(range.end - range.start);
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match reader.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => each(Chunk::Data(&block[..count]))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}
