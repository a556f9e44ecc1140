//! Every kind of region is the same: one header, one set of methods.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;

use bifolio_map::{Access, AccessMut, Advice, Errno, HugePages, Misplaced, NumaPolicy};
use bifolio_share::{ErrorKind, Place, Region};
use bifolio_sync::{Mutex, Peers};

use crate::common::Child;
use crate::support::{Name, counter};

/// What holds of a region of any kind, and of another value of the same region.
fn conforms(region: &Region, other: &Region) {
    assert!(region.len() >= 1 << 16 && region.max_len() >= 1 << 20, "{region:?}");
    assert_eq!((region.len(), region.max_len()), (other.len(), other.max_len()));
    // Different addresses, the same objects.
    assert_ne!(region.as_ptr(), other.as_ptr());
    counter(region).store(7, SeqCst);
    assert_eq!(counter(other).fetch_add(1, SeqCst), 7);
    assert_eq!(counter(region).load(SeqCst), 8);
    // Two values of one process are two who share it.
    assert_ne!(region.me().unwrap(), other.me().unwrap());
    assert_eq!(region.sitters().len(), 2);
    let made = region.objects().find_or_construct("lock", || Mutex::new(1_u64)).unwrap();
    let found = other.objects().find::<Mutex<u64>>("lock").unwrap();
    *made.lock(region).unwrap() += 1;
    assert_eq!(*found.lock(other).unwrap(), 2);
    // Growth is seen at once, by addresses too.
    let len = region.len();
    region.grow(1 << 19).unwrap();
    assert!(other.len() >= 1 << 19 && other.len() > len);
    assert_eq!(other.view().len() as u64, region.len());
    other.prefault(other.len()).unwrap();
    let error = region.grow(1 << 30).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::BeyondMax { .. }), "{error}");
    let beyond = region.prefault(region.len() + 1).unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::OutOfBounds { len_bytes: region.len() });
    // A copy keeps its changes to itself.
    let copy = region.copy_on_write().unwrap();
    assert_eq!(copy.len() as u64, region.len());
    copy.write_all_at(&[0xff; 64], copy.len() - 64).unwrap();
    assert_eq!(region.load::<[u8; 64]>(copy.len() - 64).unwrap(), [0; 64]);
    // A clone is the same value; the last one gives the seat up.
    let sat = other.me().unwrap();
    let clone = other.clone();
    assert_eq!(clone.me().unwrap(), sat);
    assert!(!region.is_dead(sat));
    assert_eq!(region.creator(), std::process::id());
    assert!(region.created() <= std::time::SystemTime::now());
    region.check().unwrap();
}

#[test]
fn a_memory_file_goes_over_a_socket() {
    let (here, there) = UnixStream::pair().unwrap();
    let region = Region::options().max_len(1 << 20).memfd("test", 1 << 16).unwrap();
    region.send(&here).unwrap();
    let other = Region::receive(&there).unwrap();
    assert_eq!(other.place(), &Place::Descriptor);
    conforms(&region, &other);
    assert!(!region.is_linked().unwrap() && !other.is_linked().unwrap());
    assert_eq!(region.unlink().unwrap_err().kind(), ErrorKind::Nameless);
    // Nobody can take its pages away.
    let file = std::fs::File::from(region.inheritable().unwrap());
    assert!(file.set_len(4096).is_err());
}

#[test]
fn what_is_no_region_is_not_received() {
    let (here, there) = UnixStream::pair().unwrap();
    std::io::Write::write_all(&mut &here, b"bifolio region 1").unwrap();
    assert_eq!(Region::receive(&there).unwrap_err().kind(), ErrorKind::NotSent);
    let other = std::fs::File::open("/dev/null").unwrap();
    bifolio_sys::net::send_fds(&here, b"bifolio region 1", &[other.as_fd()]).unwrap();
    assert_eq!(Region::receive(&there).unwrap_err().kind(), ErrorKind::NotRegular);
    let other = std::fs::File::open("Cargo.toml").unwrap();
    bifolio_sys::net::send_fds(&here, b"bifolio region 1", &[other.as_fd()]).unwrap();
    assert_eq!(Region::receive(&there).unwrap_err().kind(), ErrorKind::NotARegion);
    drop(here);
    assert_eq!(Region::receive(&there).unwrap_err().kind(), ErrorKind::NotSent);
}

#[test]
fn a_name_is_opened_by_name() {
    let name = Name::new();
    let options = Region::options().max_len(1 << 20);
    let region = options.create(&name.0, 1 << 16).unwrap();
    conforms(&region, &Region::open(&name.0).unwrap());
    let reader = Region::options().open_read_only(&name.0).unwrap();
    assert_eq!(reader.view().len() as u64, region.len());
    let at = region.len() as usize - 64;
    assert_eq!(reader.load::<[u8; 64]>(at).unwrap(), [0; 64]);
    region.grow((1 << 19) + 1).unwrap();
    assert_eq!(reader.view().len() as u64, region.len());
    assert!(region.is_linked().unwrap());
}

#[test]
fn a_file_is_opened_by_path() {
    let name = format!("bifolio-test-file-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let options = Region::options().max_len(1 << 20);
    let region = options.create_file(&path, 1 << 16).unwrap();
    conforms(&region, &options.open_file(&path).unwrap());
    assert_eq!(options.create_file(&path, 1).unwrap_err().kind(), ErrorKind::Exists);
    assert!(region.unlink().unwrap() && !region.unlink().unwrap());
    assert!(!path.exists());
}

/// Whoever is forked has the region, and a seat of its own.
#[test]
fn children_inherit_it() {
    let region = Region::options().max_len(1 << 20).anonymous(1 << 16).unwrap();
    let me = region.me().unwrap();
    counter(&region).store(1, SeqCst);
    let child = Child::run(|| {
        assert_ne!(region.me().unwrap(), me);
        counter(&region).fetch_add(1, SeqCst);
        region.grow(1 << 19).unwrap();
    });
    assert!(child.join());
    assert_eq!(counter(&region).load(SeqCst), 2);
    assert!(region.len() >= 1 << 19 && region.me().unwrap() == me);
}

/// A program that is started gets it by the number of a descriptor.
#[test]
fn programs_inherit_it() {
    if let Ok(number) = std::env::var("BIFOLIO_TEST_INHERITED") {
        let region = Region::from_inherited(number.parse().unwrap()).unwrap();
        counter(&region).fetch_add(5, SeqCst);
        return;
    }
    let region = Region::anonymous(1 << 16).unwrap();
    counter(&region).store(1, SeqCst);
    let file = region.inheritable().unwrap();
    let run = |number: i32| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kinds::programs_inherit_it"])
            .env("BIFOLIO_TEST_INHERITED", number.to_string())
            .output()
            .unwrap()
    };
    let output = run(file.as_raw_fd());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(counter(&region).load(SeqCst), 6);
    drop(file);
    // Other descriptors are not inherited, and other files are no regions.
    assert!(!run(1_000_000).status.success());
    assert_eq!(Region::from_inherited(1_000_000).unwrap_err().kind(), ErrorKind::NotFound);
    let null = std::fs::File::open("/dev/null").unwrap();
    let error = Region::from_inherited(null.as_raw_fd() as u32).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRegular);
}

/// A hostile region is bytes.
#[test]
fn what_is_not_trusted_is_bytes() {
    let region = Region::options().max_len(1 << 20).anonymous(1 << 12).unwrap();
    let clone = region.clone();
    let (region, error) = region.untrusted().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InUse);
    drop(clone);
    let bytes = region.untrusted().map_err(|(_, error)| error).unwrap();
    bytes.write_all_at(b"folio", 4091).unwrap();
    assert!(bytes.write_all_at(b"folio", 4092).is_err());
    assert_eq!(bytes.load::<[u8; 5]>(4091).unwrap(), *b"folio");
    bytes.check().unwrap();
}

#[test]
fn pages_are_chosen_bound_and_advised() {
    let region = Region::options().huge_pages(HugePages::Transparent).anonymous(4 << 20).unwrap();
    region.advise(0..2 << 20, Advice::NoHugePage).unwrap();
    let len = region.len();
    let error = region.advise(1..len + 1, Advice::NoHugePage).unwrap_err();
    assert_eq!(
        (error.kind(), error.range()),
        (ErrorKind::OutOfBounds { len_bytes: len }, Some(1..len + 1))
    );
    match region.bind(0..len, NumaPolicy::Local, Misplaced::Stay) {
        Err(error) if error.kind() == ErrorKind::Unsupported => println!("skipped: {error}"),
        bound => bound.unwrap(),
    }
    region.prefault(len).unwrap();
    let options = Region::options().huge_pages(HugePages::Pool(None)).max_len(5 << 20);
    match options.memfd("huge", 1 << 20) {
        Err(error) if matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::NoMemory) => {
            println!("skipped: huge pages: {error}");
        }
        region => {
            let region = region.unwrap();
            counter(&region).store(3, SeqCst);
            region.grow(5 << 20).unwrap();
            let other = Region::from_inherited(region.as_fd().as_raw_fd() as u32).unwrap();
            assert_eq!(counter(&other).load(SeqCst), 3);
            assert_eq!(other.load::<u8>(other.len() as usize - 1).unwrap(), 0);
        }
    }
}

/// One who finds no seat is told so, and may look.
#[test]
fn seats_are_as_many_as_were_asked_for() {
    let region = Region::options().seats_max(1).objects_max(2).anonymous(1).unwrap();
    let me = region.me().unwrap();
    assert!(Child::run(|| assert_eq!(region.me().unwrap_err().errno(), Errno::USERS)).join());
    assert_eq!(region.sitters().iter().map(|sitter| sitter.owner).collect::<Vec<_>>(), [me]);
    for options in [
        Region::options().seats_max(0),
        Region::options().seats_max(1025),
        Region::options().objects_max(3),
        Region::options().max_len(u64::MAX),
    ] {
        assert_eq!(options.anonymous(1).unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(Region::anonymous(u64::MAX).unwrap_err().kind(), ErrorKind::Invalid);
}
