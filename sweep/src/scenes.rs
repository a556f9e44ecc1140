//! What is swept, a file for each family.

mod ground;
mod mutex;
mod objects;
mod once;
mod rwlock;
mod seats;
mod signals;
mod toy;

use crate::scene::Act;
use toy::Toy;

/// What is proved.
pub(crate) const SCENES: &[Act] = &[
    Act::of::<Toy<{ toy::RIGHT }>>(),
    Act::of::<seats::SitDown>(),
    Act::of::<seats::GetUp>(),
    Act::of::<mutex::MutexFree>(),
    Act::of::<mutex::MutexWanted>(),
    Act::of::<mutex::MutexHandoff>(),
    Act::of::<rwlock::Written>(),
    Act::of::<rwlock::Read>(),
    Act::of::<rwlock::ReadWanted>(),
    Act::of::<rwlock::WriteWanted>(),
    Act::of::<rwlock::WriteHandoff>(),
    Act::of::<signals::Notify>(),
    Act::of::<signals::Wait>(),
    Act::of::<signals::Post>(),
    Act::of::<signals::Take>(),
    Act::of::<signals::Set>(),
    Act::of::<once::Done>(),
    Act::of::<once::Make>(),
    Act::of::<once::Permitted>(),
    Act::of::<objects::Construct>(),
    Act::of::<objects::Remove>(),
    Act::of::<objects::Reserve>(),
];

/// What must be caught, or the machine proves nothing.
pub(crate) const WRONG: &[Act] = &[
    Act::of::<Toy<{ toy::FULL_TOO_EARLY }>>(),
    Act::of::<Toy<{ toy::EMPTY_TOO_EARLY }>>(),
    Act::of::<Toy<{ toy::RECOVERY_IN_HASTE }>>(),
    Act::of::<Toy<{ toy::FOR_NOTHING }>>(),
];
