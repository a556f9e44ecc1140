//! The suite that every kind of mapping passes, by every way to its bytes: each method does what it
//! would do on a plain slice.

use super::random::Random;
use bifolio_map::{Access, AccessMut, AtomicInteger, Error, ErrorKind, Operation};
use bifolio_map::{Pair, SharedMap, StoreOrder, View, ViewMut};
use std::hash::Hasher;
use std::io::{self, BufRead, Cursor, ErrorKind as IoKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;

/// Random trials of each method.
const TRIALS: usize = 60;

/// Every method that reads, of a view of `model` that starts at byte `base` of its file.
pub(crate) fn reads(view: View<'_>, model: &[u8], base: u64, random: &mut Random) {
    assert_eq!((view.len(), view.is_empty()), (model.len(), model.is_empty()));
    reads_by_offset(view, model, base, random);
    values(view, model, base, random);
    parts(view, model, base, random);
    chunks(view, model, random);
    reader(view, model, random);
    searches(view, model, base, random);
    sinks(view, model, base, random);
    pairs(view, model, random);
    let object: &dyn Access = &view;
    assert_eq!(object.len(), model.len());
}

/// Asserts that `error` is one of reading beyond the end.
fn assert_beyond(error: &Error, base: u64, range: Range<usize>, len: usize) {
    assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: len as u64 }, "{error}");
    let start = base.saturating_add(range.start as u64);
    let end = start.saturating_add(range.len() as u64);
    assert_eq!((error.range(), error.done_bytes()), (Some(start..end), 0), "{error}");
}

fn reads_by_offset(view: View<'_>, model: &[u8], base: u64, random: &mut Random) {
    for _ in 0..TRIALS {
        let (offset, len) = (random.length(model.len()), random.length(model.len() + 10));
        let mut buf = vec![0x5a; len];
        let count = view.read_at(&mut buf, offset).unwrap();
        assert_eq!(count, len.min(model.len() - offset));
        assert_eq!(buf[..count], model[offset..offset + count]);
        assert!(buf[count..].iter().all(|&byte| byte == 0x5a), "wrote behind what was read");

        let mut buf = vec![0x5a; len];
        match view.read_exact_at(&mut buf, offset) {
            Ok(()) => assert_eq!(buf, model[offset..offset + len]),
            Err(error) => {
                assert!(offset + len > model.len());
                assert_beyond(&error, base, offset..offset + len, model.len());
                assert!(buf.iter().all(|&byte| byte == 0x5a), "a refused read wrote");
            }
        }
    }
    assert_eq!(view.read_at(&mut [0; 9], model.len()).unwrap(), 0);
    assert_eq!(view.read_at(&mut [], model.len()).unwrap(), 0);
    view.read_exact_at(&mut [], model.len()).unwrap();
    for offset in [model.len() + 1, usize::MAX - 3, usize::MAX] {
        let error = view.read_at(&mut [0; 8], offset).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: model.len() as u64 });
        assert!(view.read_exact_at(&mut [0; 8], offset).is_err());
        assert!(view.read_exact_at(&mut [], offset).is_err());
        assert!(view.load::<u64>(offset).is_err());
        assert!(view.load::<()>(offset).is_err());
        assert!(view.find(b"", offset).is_err());
        assert!(view.find(b"aa", offset).is_err());
        assert!(view.find_byte(b'a', offset).is_err());
        assert!(view.slice(offset..offset).is_err());
    }
}

fn values(view: View<'_>, model: &[u8], base: u64, random: &mut Random) {
    macro_rules! load {
        ($($kind:ty),*) => {$(
            let offset = random.length(model.len());
            match (view.load::<$kind>(offset), model[offset..].first_chunk()) {
                (Ok(value), Some(bytes)) => assert_eq!(value, <$kind>::from_ne_bytes(*bytes)),
                (Err(error), None) => {
                    assert_beyond(&error, base, offset..offset + size_of::<$kind>(), model.len());
                }
                (answer, bytes) => panic!("{answer:?} for {bytes:?} at {offset}"),
            }
        )*};
    }
    for _ in 0..TRIALS {
        load!(u8, u16, u32, u64, u128, i8, i16, i32, i64);
        let offset = random.length(model.len());
        let bytes = model[offset..].first_chunk();
        assert_eq!(view.load::<[u8; 7]>(offset).ok(), bytes.copied());
        view.load::<()>(offset).unwrap();
    }
}

fn parts(view: View<'_>, model: &[u8], base: u64, random: &mut Random) {
    for _ in 0..TRIALS {
        let start = random.length(model.len());
        let end = start + random.length(model.len() - start);
        let part = view.slice(start..end).unwrap();
        assert_eq!(part.read_to_vec(0..part.len()).unwrap(), model[start..end]);
        assert_eq!(view.read_to_vec(start..end).unwrap(), model[start..end]);
        let inner = part.slice(part.len() / 2..part.len()).unwrap();
        assert_eq!(inner.len(), part.len() - part.len() / 2);
        let error = inner.read_exact_at(&mut [0; 1], inner.len()).unwrap_err();
        assert_beyond(&error, base, end..end + 1, inner.len());
    }
    let error = view.slice(0..model.len() + 1).unwrap_err();
    assert_beyond(&error, base, 0..model.len() + 1, model.len());
    #[allow(clippy::reversed_empty_ranges, reason = "that is the point")]
    let reversed = 1..0;
    assert!(view.slice(reversed.clone()).is_err());
    assert!(view.read_to_vec(reversed).is_err());
    assert!(view.read_to_vec(0..usize::MAX).is_err());
}

fn chunks(view: View<'_>, model: &[u8], random: &mut Random) {
    for _ in 0..6 {
        let len = 1 + random.length(9000);
        let mut chunks = view.chunks(vec![0; len]);
        let mut seen = Vec::new();
        while let Some(chunk) = chunks.next_chunk().unwrap() {
            assert_eq!(chunk.offset, seen.len());
            assert!(!chunk.bytes.is_empty() && chunk.bytes.len() <= len);
            seen.extend_from_slice(chunk.bytes);
        }
        assert_eq!(seen, model);
        assert_eq!(chunks.next_chunk().unwrap(), None);
    }
}

fn reader(view: View<'_>, model: &[u8], random: &mut Random) {
    let (mut reader, mut cursor) = (view.reader(), Cursor::new(model));
    for _ in 0..TRIALS * 4 {
        match random.below(6) {
            0 => {
                let to = match random.below(3) {
                    0 => SeekFrom::Start(random.length(model.len() + 20) as u64),
                    1 => SeekFrom::Current(random.length(200) as i64 - 100),
                    _ => SeekFrom::End(10 - random.length(model.len() + 20) as i64),
                };
                let (answer, expected) = (reader.seek(to), cursor.seek(to));
                assert_eq!(answer.is_ok(), expected.is_ok(), "{to:?}: {answer:?}");
            }
            1 => {
                let len = random.length(6000);
                let (mut buf, mut expected) = (vec![0; len], vec![0; len]);
                let count = reader.read(&mut buf).unwrap();
                cursor.read_exact(&mut expected[..count]).unwrap();
                assert_eq!(buf, expected);
                assert!(count != 0 || len == 0 || cursor.position() >= model.len() as u64);
            }
            2 => {
                let (mut line, mut expected) = (Vec::new(), Vec::new());
                reader.read_until(b'\n', &mut line).unwrap();
                cursor.read_until(b'\n', &mut expected).unwrap();
                assert_eq!(line, expected);
            }
            3 => {
                let mut buf = vec![0; random.length(10_000)];
                match reader.read_exact(&mut buf) {
                    Ok(()) => {
                        let mut expected = vec![0; buf.len()];
                        cursor.read_exact(&mut expected).unwrap();
                        assert_eq!(buf, expected);
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), IoKind::UnexpectedEof);
                        assert!(cursor.position() + buf.len() as u64 > model.len() as u64);
                        cursor.set_position(reader.stream_position().unwrap());
                    }
                }
            }
            _ => {
                let amount = random.below(reader.fill_buf().unwrap().len() + 1);
                reader.consume(amount);
                cursor.set_position(cursor.position() + amount as u64);
            }
        }
        assert_eq!(reader.stream_position().unwrap(), cursor.position());
    }
    let lines: Vec<_> = view.lines().map(Result::unwrap).collect();
    assert_eq!(lines, model.lines().map(Result::unwrap).collect::<Vec<_>>());
    let mut all = Vec::new();
    view.reader().read_to_end(&mut all).unwrap();
    assert_eq!(all, model);
}

fn searches(view: View<'_>, model: &[u8], base: u64, random: &mut Random) {
    for trial in 0..TRIALS {
        let from = random.length(model.len());
        let byte = b"abc\nz"[random.below(5)];
        let expected = model[from..].iter().position(|&b| b == byte).map(|index| from + index);
        assert_eq!(view.find_byte(byte, from).unwrap(), expected);
        let distance = random.below(20).min(model.len() - from);
        let pair = Pair { first: byte, second: b'b', distance };
        let mut places = from..model.len() - distance;
        let expected = places.find(|&at| model[at] == byte && model[at + distance] == b'b');
        assert_eq!(view.find_pair(pair, from).unwrap(), expected, "{pair:?} from {from}");

        let len_max = [2, 9, 1024, 1025, 5000][trial % 5];
        let start = random.length(model.len());
        let len = random.length(len_max).min(model.len() - start);
        let mut needle = model[start..start + len].to_vec();
        if random.below(3) == 0 && !needle.is_empty() {
            let last = needle.len() - 1;
            needle[last] ^= 1;
        }
        let expected = find_plainly(&model[from..], &needle).map(|index| from + index);
        assert_eq!(view.find(&needle, from).unwrap(), expected, "{len} bytes from {from}");
    }
    let error = view.find(b"ab", model.len() + 1).unwrap_err();
    assert_beyond(&error, base, model.len() + 1..model.len() + 1, model.len());
}

fn find_plainly(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    match needle.len() {
        0 => Some(0),
        len => haystack.windows(len).position(|window| window == needle),
    }
}

/// Remembers what it is fed.
#[derive(Default)]
struct Memory(Vec<u8>);

impl Hasher for Memory {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        self.0.len() as u64
    }
}

fn sinks(view: View<'_>, model: &[u8], base: u64, random: &mut Random) {
    for _ in 0..TRIALS / 4 {
        let start = random.length(model.len());
        let end = start + random.length(model.len() - start);
        let (mut memory, mut sink) = (Memory::default(), Vec::new());
        view.hash(start..end, &mut memory).unwrap();
        assert_eq!(memory.0, model[start..end]);
        view.copy_to(start..end, &mut sink).unwrap();
        assert_eq!(sink, model[start..end]);
    }
    let error = view.hash(0..model.len() + 1, &mut Memory::default()).unwrap_err();
    assert_beyond(&error, base, 0..model.len() + 1, model.len());
    let error = view.copy_to(0..model.len() + 1, &mut io::sink()).unwrap_err();
    assert_eq!(error.kind(), IoKind::UnexpectedEof);
}

fn pairs(view: View<'_>, model: &[u8], random: &mut Random) {
    let copy = SharedMap::anon(model.len()).unwrap();
    for copy in [copy.view_mut(), copy.view_mut().by_syscall()] {
        assert_eq!(view.copy_to_view(&copy).unwrap(), model.len());
        assert_eq!(copy.read_to_vec(0..model.len()).unwrap(), model);
        assert_eq!(view.compare(&copy).unwrap(), None);
        assert_eq!(copy.compare(&view).unwrap(), None);
        for _ in 0..TRIALS / 4 {
            let Some(changed) = random.length(model.len()).checked_sub(1) else { continue };
            copy.store(&!model[changed], changed).unwrap();
            let start = random.below(changed + 1);
            let (mine, theirs) = (start..model.len(), start..changed + 1);
            let (mine, theirs) = (view.slice(mine).unwrap(), copy.slice(theirs).unwrap());
            assert_eq!(mine.compare(&theirs).unwrap(), Some(changed - start));
            assert_eq!(theirs.compare(&mine).unwrap(), Some(changed - start));
            copy.store(&model[changed], changed).unwrap();
        }
        copy.fill(0..model.len(), 0x5a).unwrap();
        let (part, len) = (view.slice(model.len() / 3..model.len()).unwrap(), model.len() / 2);
        let target = copy.slice_mut(0..len).unwrap();
        let count = part.copy_to_view(&target).unwrap();
        assert_eq!(count, len.min(part.len()));
        let mut expected = vec![0x5a; model.len()];
        expected[..count].copy_from_slice(&model[model.len() / 3..][..count]);
        assert_eq!(copy.read_to_vec(0..model.len()).unwrap(), expected);
    }
}

/// Every method that writes; what the window held before is lost.
pub(crate) fn writes(window: ViewMut<'_>, base: u64, random: &mut Random) {
    let mut model = random.bytes(window.len());
    window.write_all_at(&model, 0).unwrap();
    for _ in 0..TRIALS * 2 {
        write_once(window, &mut model, base, random);
        assert_eq!(window.read_to_vec(0..model.len()).unwrap(), model);
    }
    writer(window, &mut model, random);
    assert_eq!(window.write_at(b"x", model.len()).unwrap(), 0);
    assert!(window.write_at(b"x", model.len() + 1).is_err());
    for offset in [usize::MAX - 3, usize::MAX] {
        assert!(window.write_at(b"x", offset).is_err());
        assert!(window.write_all_at(b"", offset).is_err());
        assert!(window.store(&7_u64, offset).is_err());
        assert!(window.fill(offset..offset, 1).is_err());
        assert!(window.atomic::<u8>(offset).is_err());
    }
    #[allow(clippy::reversed_empty_ranges, reason = "that is the point")]
    let reversed = 1..0;
    assert!(window.fill(reversed, 1).is_err());
    assert_eq!(window.read_to_vec(0..model.len()).unwrap(), model);
}

fn write_once(window: ViewMut<'_>, model: &mut [u8], base: u64, random: &mut Random) {
    let offset = random.length(model.len());
    let room = model.len() - offset;
    let len = random.length(room + 10);
    let bytes = random.bytes(len);
    match random.below(4) {
        0 => {
            let count = window.write_at(&bytes, offset).unwrap();
            assert_eq!(count, len.min(room));
            model[offset..offset + count].copy_from_slice(&bytes[..count]);
        }
        1 => match window.write_all_at(&bytes, offset) {
            Ok(()) => model[offset..offset + len].copy_from_slice(&bytes),
            Err(error) => {
                assert_eq!(error.operation(), Operation::Write);
                assert_beyond(&error, base, offset..offset + len, model.len());
            }
        },
        2 => match window.fill(offset..offset + len, 0xf1) {
            Ok(()) => model[offset..offset + len].fill(0xf1),
            Err(error) => assert_beyond(&error, base, offset..offset + len, model.len()),
        },
        _ => {
            macro_rules! store {
                ($($kind:ty),*) => {$(
                    let (offset, value) = (random.length(model.len()), random.next() as $kind);
                    match window.store(&value, offset) {
                        Ok(()) => model[offset..offset + size_of::<$kind>()]
                            .copy_from_slice(&value.to_ne_bytes()),
                        Err(error) => assert_beyond(
                            &error, base, offset..offset + size_of::<$kind>(), model.len(),
                        ),
                    }
                )*};
            }
            store!(u8, u16, u32, u64, u128, i8, i16, i32, i64);
        }
    }
}

fn writer(window: ViewMut<'_>, model: &mut [u8], random: &mut Random) {
    let (mut writer, mut cursor) = (window.writer(), Cursor::new(&mut *model));
    for _ in 0..TRIALS {
        if random.below(3) == 0 {
            let to = SeekFrom::Start(random.length(window.len() + 5) as u64);
            assert_eq!(writer.seek(to).unwrap(), cursor.seek(to).unwrap());
            assert!(writer.seek(SeekFrom::Current(i64::MIN)).is_err());
        }
        let len = random.length(3000);
        let bytes = random.bytes(len);
        assert_eq!(writer.write(&bytes).unwrap(), cursor.write(&bytes).unwrap());
        writer.flush().unwrap();
        assert_eq!(writer.stream_position().unwrap(), cursor.position());
    }
    writer.seek(SeekFrom::End(0)).unwrap();
    assert_eq!(writer.write_all(b"x").unwrap_err().kind(), IoKind::WriteZero);
    assert_eq!(window.read_to_vec(0..window.len()).unwrap(), model);
}

/// Every atomic operation of every integer, against the integer's own methods.
pub(crate) fn atomics(window: ViewMut<'_>, random: &mut Random) {
    macro_rules! atomics {
        ($($kind:ty),*) => {$(
            let size = size_of::<$kind>();
            let offset = random.below(window.len() / size) * size;
            let mut model = random.next() as $kind;
            let atomic = window.atomic::<$kind>(offset).unwrap();
            atomic.store(model, StoreOrder::Release).unwrap();
            for _ in 0..TRIALS {
                let value = random.next() as $kind;
                assert_eq!(atomic.load().unwrap(), model);
                assert_eq!(window.load::<$kind>(offset).unwrap(), model);
                let (before, after) = match random.below(11) {
                    0 => (atomic.swap(value), value),
                    1 => (atomic.fetch_add(value), model.wrapping_add(value)),
                    2 => (atomic.fetch_sub(value), model.wrapping_sub(value)),
                    3 => (atomic.fetch_and(value), model & value),
                    4 => (atomic.fetch_or(value), model | value),
                    5 => (atomic.fetch_xor(value), model ^ value),
                    6 => (atomic.fetch_min(value), model.min(value)),
                    7 => (atomic.fetch_max(value), model.max(value)),
                    8 => (atomic.compare_exchange(model, value).map(Result::unwrap), value),
                    9 => (
                        atomic.compare_exchange(!model, value).map(Result::unwrap_err),
                        model,
                    ),
                    _ => (atomic.store(value, StoreOrder::SeqCst).map(|()| model), value),
                };
                assert_eq!(before.unwrap(), model);
                model = after;
            }
            assert_eq!(atomic.fetch_update(|_| None).unwrap(), Err(model));
            refused::<$kind>(window);
        )*};
    }
    atomics!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);
}

fn refused<A: AtomicInteger>(window: ViewMut<'_>) {
    let size = size_of::<A>();
    if size > 1 {
        let error = window.atomic::<A>(size / 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misaligned { align_bytes: size });
    }
    let error = window.atomic::<A>(window.len() + 1 - size).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: window.len() as u64 });
    let error = window.by_syscall().atomic::<A>(0).unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::Unsupported, Operation::Atomic));
}
