//! Every method at every byte around the end of a file that became shorter: what lies before is
//! done and counted, what lies behind is left alone, and the error says exactly where.

mod common;

use bifolio_map::{Access, AccessMut, Backend, Error, ErrorKind, FileMap, Operation, Options};
use bifolio_map::{SharedMap, StoreOrder, View, ViewMut};
use common::TempFile;
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufRead, ErrorKind as IoKind, Read, Write};
use std::ops::Range;

/// The end of the file after its truncation: a multiple of every page size.
const END: usize = 64 << 10;
const LEN: usize = 3 * END;
/// Where the mapping starts in the file.
const BASE: usize = 4099;

fn model() -> Vec<u8> {
    (0..LEN).map(|index| (index % 251) as u8 + 1).collect()
}

fn assert_truncated(error: &Error, operation: Operation, range: Range<usize>, done: usize) {
    assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: END as u64 }, "{error}");
    assert_eq!(error.operation(), operation, "{error}");
    assert_eq!(error.range(), Some(range.start as u64..range.end as u64), "{error}");
    assert_eq!(error.done_bytes(), done, "{error}");
}

/// The ranges to try: every start near the end of the file, lengths that end before, at and after
/// it.
fn ranges() -> impl Iterator<Item = Range<usize>> {
    let lens = [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100, 200, 1100, 4096, 9000];
    let starts = (END - 130..END + 3).chain([BASE, END - 5000, LEN - 9000]);
    starts.flat_map(move |start| lens.map(|len| start..start + len))
}

/// A file that was mapped whole and became shorter, read by every way there is.
fn for_each_reader(mut check: impl FnMut(View<'_>)) {
    let file = TempFile::with(&model());
    let options = Options::new().offset(BASE as u64);
    let map = options.open(&file.0).unwrap();
    let unmapped = options.backend(Backend::Read).open(&file.0).unwrap();
    file.set_len(END as u64);
    for view in [map.view(), map.by_syscall(), unmapped.view()] {
        check(view);
    }
}

/// As above, to be written.
fn for_each_writer(mut check: impl FnMut(ViewMut<'_>)) {
    for by_syscall in [false, true] {
        let file = TempFile::with(&model());
        let map = Options::new().offset(BASE as u64).open_shared(&file.0).unwrap();
        file.set_len(END as u64);
        check(if by_syscall { map.view_mut().by_syscall() } else { map.view_mut() });
    }
}

#[test]
fn reads_stop_at_the_byte() {
    let model = model();
    for_each_reader(|view| {
        for range in ranges() {
            let mut buf = vec![0; range.len()];
            let answer = view.read_exact_at(&mut buf, range.start - BASE);
            let before = END.saturating_sub(range.start).min(range.len());
            assert_eq!(buf[..before], model[range.start..range.start + before]);
            assert!(buf[before..].iter().all(|&byte| byte == 0), "wrote what it could not read");
            match answer {
                Ok(()) => assert!(range.end <= END),
                Err(error) => assert_truncated(&error, Operation::Read, range, before),
            }
        }
    });
}

#[test]
fn values_are_whole_or_an_error() {
    let model = model();
    for_each_reader(|view| {
        for start in END - 20..END + 20 {
            macro_rules! load {
                ($($kind:ty),*) => {$(
                    let range = start..start + size_of::<$kind>();
                    match view.load::<$kind>(start - BASE) {
                        Ok(value) => assert_eq!(value.to_ne_bytes(), model[range]),
                        // A word has no part that was done; a misaligned value may have.
                        Err(error) => {
                            assert_truncated(&error, Operation::Read, range, error.done_bytes());
                            assert!(error.done_bytes() <= END.saturating_sub(start));
                        }
                    }
                )*};
            }
            load!(u8, u16, u32, u64, u128);
        }
    });
}

#[test]
fn a_stream_gives_all_bytes_before_the_error() {
    let model = model();
    for_each_reader(|view| {
        let mut bytes = Vec::new();
        let error = view.reader().read_to_end(&mut bytes).unwrap_err();
        assert_eq!((error.kind(), &bytes[..]), (IoKind::UnexpectedEof, &model[BASE..END]));

        let mut reader = view.reader();
        let mut seen = 0;
        while let Ok(buf) = reader.fill_buf() {
            assert!(!buf.is_empty());
            seen += buf.len();
            let len = buf.len();
            reader.consume(len);
        }
        assert_eq!(seen, END - BASE);
        assert!(reader.fill_buf().is_err() && reader.read(&mut [0; 1]).is_err());

        for len in [1, 100, 4096, 1 << 20] {
            let mut chunks = view.chunks(vec![0; len]);
            let mut seen = Vec::new();
            let error = loop {
                match chunks.next_chunk() {
                    Ok(chunk) => seen.extend_from_slice(chunk.expect("no end").bytes),
                    Err(error) => break error,
                }
            };
            assert_eq!(seen, model[BASE..END]);
            let range = END..(END + len).min(LEN);
            assert_truncated(&error, Operation::Read, range.clone(), 0);
            assert_truncated(&chunks.next_chunk().unwrap_err(), Operation::Read, range, 0);
        }
    });
}

#[test]
fn copies_give_all_bytes_before_the_error() {
    let model = model();
    for_each_reader(|view| {
        let mut sink = Vec::new();
        let error = view.copy_to(10..LEN - BASE, &mut sink).unwrap_err();
        assert_eq!((error.kind(), &sink[..]), (IoKind::UnexpectedEof, &model[BASE + 10..END]));
        let error = error.downcast::<Error>().unwrap();
        assert_truncated(&error, Operation::Read, BASE + 10..LEN, END - BASE - 10);

        let (mut hasher, mut expected) = (DefaultHasher::new(), DefaultHasher::new());
        let error = view.hash(10..LEN - BASE, &mut hasher).unwrap_err();
        assert_truncated(&error, Operation::Read, BASE + 10..LEN, END - BASE - 10);
        model[BASE + 10..END].chunks(4096).for_each(|chunk| expected.write(chunk));
        assert_eq!(hasher.finish(), expected.finish());

        let error = view.read_to_vec(10..LEN - BASE).unwrap_err();
        assert_truncated(&error, Operation::Read, BASE + 10..LEN, END - BASE - 10);
    });
}

#[test]
fn what_lies_before_the_end_is_found() {
    let model = model();
    for_each_reader(|view| {
        for start in END - 140..END + 1 {
            let from = start - BASE;
            let last = model[END - 1];
            match view.find_byte(last, from) {
                Ok(found) => assert_eq!(found, Some(END - 1 - BASE)),
                Err(error) => {
                    assert_eq!(start, END);
                    assert_truncated(&error, Operation::Read, END..LEN, 0);
                }
            }
            let error = view.find_byte(0, from).unwrap_err();
            assert_truncated(&error, Operation::Read, start..LEN, END - start);
            let error = view.find(b"\0\0", from).unwrap_err();
            assert_truncated(&error, Operation::Read, start..LEN, END - start);
        }
        for len in [2, 100, 1024, 1025, 5000] {
            let needle = &model[END - len..END];
            // The pattern repeats every 251 bytes.
            let expected = (END - len - BASE) % 251;
            assert_eq!(view.find(needle, 0).unwrap(), Some(expected));
            let from = END - len - BASE;
            assert_eq!(view.find(needle, from).unwrap(), Some(from));
        }
    });
}

#[test]
fn of_two_views_the_right_one_is_at_fault() {
    let (model, whole) = (model(), SharedMap::anon(LEN - BASE + 7).unwrap());
    whole.write_all_at(&model[BASE..], 7).unwrap();
    let same = whole.slice(7..whole.len()).unwrap();
    for_each_reader(|view| {
        let compared = |one: &View<'_>, other: &View<'_>| {
            let error = one.compare(other).unwrap_err();
            assert_truncated(&error, Operation::Read, BASE..LEN, END - BASE);
        };
        for whole in [same, same.by_syscall()] {
            compared(&view, &whole);
            compared(&whole, &view);
            compared(&view, &view);
        }
        for start in END - 70..END {
            let (from, to) = (start - BASE, LEN - BASE);
            let (mine, theirs) = (view.slice(from..to).unwrap(), same.slice(from..to).unwrap());
            let error = mine.compare(&theirs).unwrap_err();
            assert_truncated(&error, Operation::Read, start..LEN, END - start);
            let error = theirs.compare(&mine).unwrap_err();
            assert_truncated(&error, Operation::Read, start..LEN, END - start);
            // A difference before the end of the file is one.
            let shifted = same.slice(from + 1..to).unwrap();
            assert_eq!(mine.compare(&shifted).unwrap(), Some(0));
            // Of overlapping views, the one that reaches further ends the comparison.
            let further = view.slice(from + 251..to).unwrap();
            let error = view.slice(from..to).unwrap().compare(&further);
            if start + 251 < END {
                let range = start + 251..LEN;
                assert_truncated(&error.unwrap_err(), Operation::Read, range, END - start - 251);
            }
        }
    });
}

#[test]
fn a_copy_between_views_stops_at_the_byte() {
    let model = model();
    let filled = |byte| {
        let map = SharedMap::anon(LEN - BASE).unwrap();
        map.fill(0..map.len(), byte).unwrap();
        map
    };
    for_each_reader(|view| {
        for target in [filled(0).view_mut(), filled(0).view_mut().by_syscall()] {
            let error = view.copy_to_view(&target).unwrap_err();
            assert_truncated(&error, Operation::Read, BASE..LEN, END - BASE);
            assert_eq!(target.read_to_vec(0..END - BASE).unwrap(), model[BASE..END]);
            assert_eq!(target.find_byte(1, END - BASE).unwrap(), None);
        }
    });
    for_each_writer(|window| {
        let source = filled(0xee);
        for source in [source.view(), source.by_syscall()] {
            window.fill(0..END - BASE, 0).unwrap();
            let error = source.copy_to_view(&window).unwrap_err();
            assert_truncated(&error, Operation::Write, BASE..LEN, END - BASE);
            assert_eq!(window.read_to_vec(0..END - BASE).unwrap(), [0xee; END - BASE]);
        }
    });
}

#[test]
fn writes_stop_at_the_byte() {
    for_each_writer(|window| {
        for (trial, range) in ranges().enumerate() {
            let (offset, byte) = (range.start - BASE, trial as u8 | 1);
            let near = END - 300 - BASE..END - BASE;
            window.fill(near.clone(), 0).unwrap();
            let answer = match trial % 2 {
                0 => window.write_all_at(&vec![byte; range.len()], offset),
                _ => window.fill(offset..offset + range.len(), byte),
            };
            let before = END.saturating_sub(range.start).min(range.len());
            assert_eq!(window.read_to_vec(offset..offset + before).unwrap(), vec![byte; before]);
            let untouched = near.start..offset.clamp(near.start, near.end);
            assert_eq!(window.slice(untouched.clone()).unwrap().find_byte(byte, 0).unwrap(), None);
            match answer {
                Ok(()) => assert!(range.end <= END),
                Err(error) => assert_truncated(&error, Operation::Write, range, before),
            }
        }
        for start in END - 8..END + 8 {
            match window.store(&7_u64, start - BASE) {
                Ok(()) => assert_eq!(start, END - 8),
                Err(error) => {
                    let range = start..start + 8;
                    let done = END.saturating_sub(start);
                    assert_truncated(&error, Operation::Write, range, done);
                }
            }
        }
        let mut writer = window.writer();
        assert_eq!(writer.write(&vec![1; LEN]).unwrap(), END - BASE);
        assert_eq!(writer.write(&[1; 4]).unwrap_err().kind(), IoKind::UnexpectedEof);
        assert_eq!(writer.write(&[]).unwrap(), 0);
    });
}

#[test]
fn atomics_end_with_the_file() {
    let file = TempFile::with(&model());
    let map = SharedMap::open(&file.0).unwrap();
    let (last, gone) = (map.atomic::<u64>(END - 8).unwrap(), map.atomic::<u64>(END).unwrap());
    file.set_len(END as u64);
    last.store(40, StoreOrder::Release).unwrap();
    assert_eq!((last.fetch_add(2).unwrap(), last.load().unwrap()), (40, 42));
    let range = END..END + 8;
    assert_truncated(&gone.load().unwrap_err(), Operation::Read, range.clone(), 0);
    let changes = [
        gone.store(1, StoreOrder::Release).unwrap_err(),
        gone.store(1, StoreOrder::SeqCst).unwrap_err(),
        gone.swap(1).unwrap_err(),
        gone.fetch_add(1).unwrap_err(),
        gone.compare_exchange(0, 1).unwrap_err(),
    ];
    changes.iter().for_each(|error| {
        assert_truncated(error, Operation::Atomic, range.clone(), 0);
    });
    file.set_len(LEN as u64);
    assert_eq!(gone.fetch_or(6).unwrap(), 0);
    assert_eq!(gone.load().unwrap(), 6);
}

#[test]
fn a_file_that_grows_back_is_read_again() {
    let file = TempFile::with(&model());
    let map = FileMap::open(&file.0).unwrap();
    file.set_len(END as u64);
    let mut reader = map.reader();
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).unwrap_err();
    file.set_len(LEN as u64);
    reader.read_to_end(&mut bytes).unwrap();
    let mut expected = model();
    expected[END..].fill(0);
    assert_eq!(bytes, expected);
}
