//! What Bifolio does where a feature is absent.

use bifolio::features::Feature;

/// What Bifolio does without the feature, in a few words.
pub(super) fn instead_of(feature: Feature) -> &'static str {
    match feature {
        Feature::Cachestat => "mincore is asked, where its answer is true; else it is unknown",
        Feature::Mincore => "cachestat is asked, for files; for other memory it is an error",
        Feature::PagemapScan => "/proc/self/pagemap is read, entry by entry",
        Feature::MadvPopulate => "pages are touched by guarded reads; populate_write is an error",
        Feature::MadvPageout => "that advice is an error",
        Feature::MadvCollapse => "that advice is an error",
        Feature::MadvGuard => "guards in a reservation are pages mapped without access",
        Feature::Mbind => "binding is an error",
        Feature::Mlock => "locking is an error",
        Feature::Memfd => "memory files are an error; shared memory is inherited, or of a file",
        Feature::MemfdSecret => "SecretMap is an error",
        Feature::MapDroppable => "DroppableMap is an error",
        Feature::MapFixedNoreplace => "the address is a hint that is checked, and else an error",
        Feature::Hugetlb => {
            "pages of the pool are an error; transparent ones are asked for by name"
        }
        Feature::Thp | Feature::ShmemThp => "ordinary pages are used",
        Feature::UserfaultfdWpAsync => {
            "writes are tracked by closed pages, whose first write is a signal"
        }
        Feature::ProcessVm => {
            "files are read by pread; memory without a file by guarded copies only"
        }
        // What later parts of Bifolio are for.
        Feature::ProcmapQuery
        | Feature::ProcessMadvise
        | Feature::Mseal
        | Feature::MemfdNoexecSeal
        | Feature::Pidfd
        | Feature::Userfaultfd
        | Feature::UserfaultfdUserMode
        | Feature::FutexWaitv
        | Feature::FileLease
        | Feature::IoUring => "nothing in this version needs it",
        _ => "unknown to this version of the program",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_feature_has_an_answer_that_fits_on_a_line() {
        for feature in Feature::ALL {
            let text = instead_of(feature);
            assert!(!text.starts_with("unknown"), "{feature:?}");
            assert!(text.len() <= 72, "{feature:?}: {text}");
        }
    }
}
