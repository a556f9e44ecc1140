//! Shared mappings as a user has them: of files, of open descriptors, of no file.

use bifolio_map::{Access, AccessMut, Error, ErrorKind, FileKind, Mapping, Operation, Options};
use bifolio_map::{Protection, SharedMap, Sharing};
use std::fs::{self, File};
use std::path::PathBuf;

/// A directory of this test's own, removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("bifolio-shared-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    /// A file in it that holds `bytes`.
    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.join("data.bin");
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_write_is_in_the_file_and_in_other_mappings_at_once() {
    let directory = Directory::new("at-once");
    let path = directory.file(&[b'.'; 10_000]);
    let (one, other) = (SharedMap::open(&path).unwrap(), SharedMap::open(&path).unwrap());
    assert_eq!((one.len(), other.len()), (10_000, 10_000));
    one.write_all_at(b"folio", 4094).unwrap();
    let mut seen = [0; 5];
    other.read_exact_at(&mut seen, 4094).unwrap();
    assert_eq!(&seen, b"folio");
    assert_eq!(&fs::read(&path).unwrap()[4094..4099], b"folio");
    fs::write(&path, [b'!'; 10_000]).unwrap();
    one.read_exact_at(&mut seen, 0).unwrap();
    assert_eq!(&seen, b"!!!!!");
}

#[test]
fn an_offset_need_not_be_on_a_page() {
    let directory = Directory::new("offset");
    let bytes: Vec<u8> = (0..20_000_u32).map(|i| (i % 251) as u8).collect();
    let path = directory.file(&bytes);
    let map = Options::new().offset(5001).len(9000).open_shared(&path).unwrap();
    let mut seen = vec![0; 9000];
    map.read_exact_at(&mut seen, 0).unwrap();
    assert_eq!(seen, bytes[5001..14_001]);
    map.write_all_at(b"x", 8999).unwrap();
    map.flush(8999..9000).unwrap();
    map.flush_async(0..9000).unwrap();
    assert_eq!(fs::read(&path).unwrap()[14_000], b'x');
    let error = map.write_all_at(b"xy", 8999).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: 9000 });
    assert_eq!(error.range(), Some(14_000..14_002));
}

#[test]
fn what_lies_beyond_the_file_is_an_error_until_the_file_has_grown() {
    let directory = Directory::new("short");
    let path = directory.file(&[7; 100]);
    let map = Options::new().len(3 * 65_536).open_shared(&path).unwrap();
    assert_eq!(map.len(), 3 * 65_536);
    assert_eq!(map.load::<u8>(99).unwrap(), 7);
    let error = map.load::<u8>(65_536).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 100 });
    let error = map.write_all_at(&[1; 8], 65_536).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 100 });
    assert_eq!((error.range(), error.done_bytes()), (Some(65_536..65_544), 0));
    File::options().write(true).open(&path).unwrap().set_len(3 * 65_536).unwrap();
    map.write_all_at(&[1; 8], 65_536).unwrap();
    assert_eq!(map.load::<u8>(65_543).unwrap(), 1);
}

#[test]
fn an_empty_file_is_an_empty_mapping() {
    let directory = Directory::new("empty");
    let map = SharedMap::open(directory.file(b"")).unwrap();
    assert!(map.is_empty());
    assert_eq!(map.read_at(&mut [0; 4], 0).unwrap(), 0);
    map.flush(0..0).unwrap();
    map.flush_async(0..0).unwrap();
    map.sync_all().unwrap();
    map.unmap().unwrap();
}

#[test]
fn flush_knows_the_bounds() {
    let directory = Directory::new("flush");
    let map = SharedMap::open(directory.file(&[0; 9000])).unwrap();
    map.fill(0..9000, 3).unwrap();
    map.flush(100..9000).unwrap();
    map.flush_async(0..9000).unwrap();
    map.sync_all().unwrap();
    for error in [map.flush(0..9001).unwrap_err(), map.flush_async(8999..9001).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: 9000 });
        assert_eq!(error.operation(), Operation::Flush);
    }
}

#[test]
fn what_cannot_be_mapped_says_why() {
    let kind = |result: Result<SharedMap, Error>| result.unwrap_err().kind();
    let (pipe, _writer) = std::io::pipe().unwrap();
    assert_eq!(kind(SharedMap::from_file(pipe)), ErrorKind::NotMappable(FileKind::Pipe));
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    assert_eq!(kind(SharedMap::from_file(socket)), ErrorKind::NotMappable(FileKind::Socket));
    let device = File::options().read(true).write(true).open("/dev/null").unwrap();
    assert_eq!(kind(SharedMap::from_file(device)), ErrorKind::NotMappable(FileKind::Device));
    let directory = Directory::new("kinds");
    let opened = File::open(&directory.0).unwrap();
    assert_eq!(kind(SharedMap::from_file(opened)), ErrorKind::NotMappable(FileKind::Directory));
    let error = SharedMap::open(directory.0.join("absent")).unwrap_err();
    assert_eq!(error.operation(), Operation::Open);
    assert!(error.to_string().contains("absent"), "{error}");
}

#[test]
fn a_file_open_for_reading_only_is_not_permitted() {
    let directory = Directory::new("read-only");
    let error = SharedMap::from_file(File::open(directory.file(&[0; 10])).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted);
    assert_eq!(error.to_string().split(" [").next(), Some("map open file"));
}

#[test]
fn memory_without_a_file_is_zeroed_and_has_no_descriptor() {
    let map = SharedMap::anon(10_000).unwrap();
    assert_eq!((map.len(), map.sharing()), (10_000, Sharing::Shared));
    assert_eq!(map.protection(), Protection::ReadWrite);
    assert!(map.fd().is_none());
    assert_eq!(map.load::<[u8; 16]>(9_984).unwrap(), [0; 16]);
    map.store(&0x0123_4567_89ab_cdef_u64, 8).unwrap();
    assert_eq!(map.load::<u64>(8).unwrap(), 0x0123_4567_89ab_cdef);
    map.flush(0..10_000).unwrap();
    map.flush_async(0..10_000).unwrap();
}
