//! Room: growth by many at once, deaths in the middle, and file systems that are full.

use std::sync::atomic::Ordering::SeqCst;

use bifolio_map::Access;
use bifolio_share::{ErrorKind, Region};

use crate::common::{Child, Random};
use crate::support::{Name, counter, with_own_shm};

/// A full `/dev/shm` is an error of the call, never a signal of a page.
#[test]
fn a_full_file_system_is_an_error() {
    with_own_shm(1 << 20, || {
        let error = Region::create("much", 4 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        assert_eq!(std::fs::read_dir("/dev/shm").unwrap().count(), 0);
        let options = Region::options().max_len(1 << 30);
        let region = options.create("little", 1 << 16).unwrap();
        let len = region.len();
        let error = region.grow(4 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        assert_eq!((error.range(), region.len()), (Some(len..4 << 20), len));
        // What it has can be used to the last byte.
        std::fs::write("/dev/shm/rest", vec![1; 1 << 20]).unwrap_err();
        region.prefault(len).unwrap();
        let error = region.objects().construct_array::<u64>("big", 1 << 19).unwrap_err();
        println!("{error}");
        counter(&region).store(1, SeqCst);
        region.check().unwrap();
    });
}

/// Many grow at once; some of them are killed; what was promised stays usable.
#[test]
fn growth_survives_growers() {
    let name = Name::new();
    let region = Region::options().max_len(64 << 20).create(&name.0, 1 << 12).unwrap();
    let random = &mut Random::new();
    for round in 0..40 {
        let children: Vec<Child> = (0..3)
            .map(|number| {
                let region = &region;
                Child::run(move || {
                    let mut len = region.len();
                    while len < 60 << 20 {
                        len += 4096 * (1 + number);
                        region.grow(len).unwrap();
                        assert!(region.len() >= len);
                        // The last page is there, for all.
                        region.load::<u64>(len as usize - 8).unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..random.below(200_000) {
            std::hint::spin_loop();
        }
        children.into_iter().for_each(Child::kill);
        let len = region.len();
        region.grow(len + 1).unwrap();
        assert!(region.len() > len, "round {round}");
        assert!(std::fs::metadata(name.path()).unwrap().len() > region.len());
    }
    region.check().unwrap();
    println!("grown to {} bytes by processes that were killed", region.len());
}

/// An allocation that fails takes nothing away that others were promised.
#[test]
fn a_failed_growth_takes_nothing_from_others() {
    with_own_shm(8 << 20, || {
        let region = Region::options().max_len(1 << 30).create("r", 1 << 12).unwrap();
        let greedy = Child::run(|| {
            let region = Region::open("r").unwrap();
            loop {
                assert_eq!(region.grow(1 << 29).unwrap_err().kind(), ErrorKind::NoSpace);
            }
        });
        for len in (1 << 16..6 << 20).step_by(1 << 13) {
            // The greedy one may have everything at this moment.
            while region.grow(len).is_err() {}
        }
        greedy.kill();
        std::fs::write("/dev/shm/rest", vec![1; 8 << 20]).unwrap_err();
        // No page is left on the file system, and each page of the region is there.
        region.prefault(region.len()).unwrap();
        region.check().unwrap();
    });
}
