//! `Objects`: typed values by name, made once, found by all.
//!
//! Making one takes these steps, each of which leaves what the next process goes on from:
//!
//! | step | if the process dies after it |
//! |---|---|
//! | 1. claim an entry for the name | the name is free for whoever wants it |
//! | 2. reserve a block with the number of the entry | and the block comes back by a sweep |
//! | 3. write the value | the same |
//! | 4. publish: one store to the entry | the object is there; the block is in use by the entry |
//! | 5. commit the block | nothing is left to do |
//!
//! Removing one commits the block (where step 5 was not reached), then empties the entry by one
//! store. The memory stays as it is, because others may have a reference: it is given back by
//! [`Objects::reclaim`], which is unsafe for that reason.
//!
//! # Safety
//!
//! An entry that is ready says that a value of the type with its fingerprint lies at its offset: it
//! is published after that was written, and never changes while it is ready. The value is not moved
//! or written over before `reclaim`, whose caller promises that nobody has a reference.
#![allow(unsafe_code, reason = "lends values that lie in shared memory")]

use std::alloc::Layout;
use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::time::Duration;

use bifolio_sync::{Deadline, Fingerprint, Owner, Shared};

use crate::arena::{Reserved, Sweep, Usage};
use crate::directory::{Claimed, Kind, Name, Place, fingerprint_of_array};
use crate::ground::Ground;
use crate::object_error::{ObjectError, ObjectErrorKind, ObjectName, ObjectResult};

/// The named objects of some memory.
///
/// A name has 1 to [`NAME_LEN_MAX`](crate::Directory::NAME_LEN_MAX) bytes. An array is another type
/// than its elements. Looking an object up takes no lock and no seat, and never waits.
#[derive(Debug)]
pub struct Objects<'r, G: Ground>(&'r G);

impl<G: Ground> Clone for Objects<'_, G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G: Ground> Copy for Objects<'_, G> {}

/// A value that lies in shared memory, and where.
pub struct Object<'r, T: ?Sized> {
    value: &'r T,
    offset: u64,
    index: u32,
}

/// An object as tools see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// Its name.
    pub name: ObjectName,
    /// The fingerprint of its type, in bits; 0 while it is being made.
    pub fingerprint: u64,
    /// Where it lies in the memory, in bytes; 0 while it is being made.
    pub offset: u64,
    /// How many values it is.
    pub len: u64,
    /// Who makes it at the moment, dead or alive.
    pub maker: Option<Owner>,
}

/// What a repair found to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// Names that the dead had claimed.
    pub claims: u64,
    /// Blocks that came back.
    pub blocks: Sweep,
}

/// A name that this process gives to an object; dropping it gives the name up.
struct Claim<'r, G: Ground> {
    ground: &'r G,
    owner: Owner,
    index: u32,
}

impl<G: Ground> Drop for Claim<'_, G> {
    fn drop(&mut self) {
        if self.ground.me() == Ok(self.owner) {
            // What cannot be given up now is when this process is gone.
            let _ = self.ground.directory().give_up(self.ground, self.index, self.owner);
        }
    }
}

/// What is to be made: one value, or an array.
#[derive(Clone, Copy)]
struct Shape {
    layout: Layout,
    fingerprint: Fingerprint,
    len: usize,
}

impl Shape {
    fn one<T: Shared>() -> Shape {
        Shape { layout: Layout::new::<T>(), fingerprint: T::FINGERPRINT, len: 1 }
    }

    fn array<T: Shared>(len: usize) -> Result<Shape, ObjectErrorKind> {
        let refused = ObjectErrorKind::NoSpace { len_bytes: u64::MAX };
        let layout = Layout::array::<T>(len).map_err(|_| refused)?;
        Ok(Shape { layout, fingerprint: fingerprint_of_array(T::FINGERPRINT), len })
    }
}

impl<'r, G: Ground> Objects<'r, G> {
    /// Those of `ground`.
    #[must_use]
    pub fn of(ground: &'r G) -> Objects<'r, G> {
        Objects(ground)
    }

    /// Makes an object that has `value`.
    ///
    /// While another makes one of this name, it waits until that is there or its maker is dead.
    ///
    /// # Errors
    ///
    /// [`Exists`](ObjectErrorKind::Exists), or [`OtherType`](ObjectErrorKind::OtherType) where it
    /// does; [`DirectoryFull`](ObjectErrorKind::DirectoryFull) or
    /// [`NoSpace`](ObjectErrorKind::NoSpace); what the locks refuse.
    pub fn construct<T: Shared>(&self, name: &str, value: T) -> ObjectResult<Object<'r, T>> {
        self.construct_with(name, || value)
    }

    /// The same with what `make` returns, which is called once the name is this process's. If it
    /// panics, the name and the memory are given back. It must not wait for the same name.
    ///
    /// # Errors
    ///
    /// As [`construct`](Self::construct).
    pub fn construct_with<T: Shared>(
        &self,
        name: &str,
        make: impl FnOnce() -> T,
    ) -> ObjectResult<Object<'r, T>> {
        match self.make_one(name, make)? {
            (object, true) => Ok(object),
            (_, false) => Err(ObjectError::named(name, ObjectErrorKind::Exists)),
        }
    }

    /// The object of this name, which `make` makes unless it is there. Of all who ask at once,
    /// exactly one makes it, and the others wait; where the maker dies, another does.
    ///
    /// # Errors
    ///
    /// [`OtherType`](ObjectErrorKind::OtherType), and as [`construct`](Self::construct), but for
    /// `Exists`.
    pub fn find_or_construct<T: Shared>(
        &self,
        name: &str,
        make: impl FnOnce() -> T,
    ) -> ObjectResult<Object<'r, T>> {
        match self.find(name) {
            Err(error) if error.kind() == ObjectErrorKind::NotFound => {}
            found => return found,
        }
        Ok(self.make_one(name, make)?.0)
    }

    /// Makes `len` values that are all zeros.
    ///
    /// # Errors
    ///
    /// As [`construct`](Self::construct).
    pub fn construct_array<T: Shared>(
        &self,
        name: &str,
        len: usize,
    ) -> ObjectResult<Object<'r, [T]>> {
        let told = |kind| ObjectError::named(name, kind);
        let shape = Shape::array::<T>(len).map_err(told)?;
        let zeros = |block: &mut Reserved<'_, G>| {
            // SAFETY: the block is reserved by this process, at least that long, and nobody else's.
            unsafe { block.as_mut_ptr().write_bytes(0, shape.layout.size()) };
        };
        let (index, place, made) = self.make(name, shape, zeros).map_err(told)?;
        if made {
            self.lend_array(index, place).map_err(told)
        } else {
            Err(told(ObjectErrorKind::Exists))
        }
    }

    /// The object of this name.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ObjectErrorKind::NotFound), also while it is being made;
    /// [`OtherType`](ObjectErrorKind::OtherType).
    #[inline]
    pub fn find<T: Shared>(&self, name: &str) -> ObjectResult<Object<'r, T>> {
        let (index, place) = self.look(name)?;
        self.lend(index, place).map_err(|kind| ObjectError::named(name, kind))
    }

    /// The array of this name.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub fn find_array<T: Shared>(&self, name: &str) -> ObjectResult<Object<'r, [T]>> {
        let (index, place) = self.look(name)?;
        self.lend_array(index, place).map_err(|kind| ObjectError::named(name, kind))
    }

    /// Waits until there is an object of this name, for as long as `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](ObjectErrorKind::TimedOut), [`OtherType`](ObjectErrorKind::OtherType).
    pub fn wait_for<T: Shared>(
        &self,
        name: &str,
        timeout: Duration,
    ) -> ObjectResult<Object<'r, T>> {
        let told = |kind| ObjectError::named(name, kind);
        let key = key(name).map_err(told)?;
        let directory = self.0.directory();
        let look = || Ok(directory.find(&key));
        let (index, place) =
            directory.wait(self.0, Deadline::after(timeout), look).map_err(told)?;
        self.lend(index, place).map_err(told)
    }

    /// Takes the name off its object, so that nobody finds it any more and the name can be used
    /// again. Whoever has the object keeps it: its memory is not used again before
    /// [`reclaim`](Self::reclaim).
    ///
    /// # Errors
    ///
    /// [`NotFound`](ObjectErrorKind::NotFound), and what the locks refuse.
    pub fn remove(&self, name: &str) -> ObjectResult<()> {
        let removed = key(name).and_then(|key| self.0.directory().remove(self.0, &key));
        removed.map(drop).map_err(|kind| ObjectError::named(name, kind))
    }

    /// Gives back the memory of all objects that were removed, beside what [`repair`](Self::repair)
    /// does.
    ///
    /// # Errors
    ///
    /// As [`repair`](Self::repair).
    ///
    /// # Safety
    ///
    /// No thread of any process that shares the memory has an [`Object`] that was removed, or a
    /// reference out of one, or is about to return one from making or finding it.
    pub unsafe fn reclaim(&self) -> ObjectResult<Repaired> {
        self.clean(true)
    }

    /// Gives back the names and the memory of objects that the dead had not finished.
    ///
    /// Nobody has to call it: names are taken over by whoever wants them, and memory is looked for
    /// before the arena grows.
    ///
    /// # Errors
    ///
    /// The first block or entry that is broken, and what the locks refuse.
    pub fn repair(&self) -> ObjectResult<Repaired> {
        self.clean(false)
    }

    fn clean(&self, removed: bool) -> ObjectResult<Repaired> {
        let claims = self.0.directory().repair(self.0)?;
        Ok(Repaired { claims, blocks: self.0.arena().sweep(self.0, removed)? })
    }

    /// Goes through the directory and the arena; says how much is in use.
    ///
    /// # Errors
    ///
    /// The first block or entry that is not what it must be, and what the locks refuse.
    pub fn verify(&self) -> ObjectResult<Usage> {
        let usage = self.0.arena().verify(self.0)?;
        self.0.directory().verify(self.0)?;
        Ok(usage)
    }

    /// All objects, in no order, each as it was at a moment.
    pub fn iter(&self) -> impl Iterator<Item = ObjectInfo> + use<'r, G> {
        let directory = self.0.directory();
        (0..directory.capacity()).filter_map(|index| {
            let entry = directory.entry(index);
            let maker = match entry.kind() {
                Kind::Making(owner) => Some(owner),
                Kind::Ready => None,
                _ => return None,
            };
            let name = entry.name()?;
            let Place { fingerprint, offset, len } = entry.read(|_| true).unwrap_or_default();
            Some(ObjectInfo { name, fingerprint, offset, len, maker })
        })
    }

    #[inline]
    fn look(&self, name: &str) -> ObjectResult<(u32, Place)> {
        let found = key(name).map(|key| self.0.directory().find(&key));
        match found {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(ObjectError::named(name, ObjectErrorKind::NotFound)),
            Err(kind) => Err(ObjectError::named(name, kind)),
        }
    }

    /// The object of this name, and whether it was made now.
    fn make_one<T: Shared>(
        &self,
        name: &str,
        make: impl FnOnce() -> T,
    ) -> ObjectResult<(Object<'r, T>, bool)> {
        let told = |kind| ObjectError::named(name, kind);
        let write = |block: &mut Reserved<'_, G>| {
            let value = make();
            // SAFETY: the block is reserved by this process for this layout, and nobody else's.
            unsafe { block.as_mut_ptr().cast::<T>().write(value) };
        };
        let (index, place, made) = self.make(name, Shape::one::<T>(), write).map_err(told)?;
        self.lend(index, place).map(|object| (object, made)).map_err(told)
    }

    /// The steps of the header. `write` fills the block.
    fn make(
        &self,
        name: &str,
        shape: Shape,
        write: impl FnOnce(&mut Reserved<'r, G>),
    ) -> Result<(u32, Place, bool), ObjectErrorKind> {
        let ground = self.0;
        let directory = ground.directory();
        let key = key(name)?;
        let owner = ground.me()?;
        let claimed = directory.wait(ground, None, || match directory.claim(ground, &key)? {
            Claimed::Busy => Ok(None),
            claimed => Ok(Some(claimed)),
        })?;
        let index = match claimed {
            Claimed::Mine(index) => index,
            Claimed::Ready(index, place) => return Ok((index, place, false)),
            Claimed::Busy => return Err(ObjectErrorKind::Exists),
        };
        let claim = Claim { ground, owner, index };
        let mut block = ground.arena().reserve_for(ground, shape.layout, index + 1)?;
        write(&mut block);
        let place = Place {
            fingerprint: shape.fingerprint.bits(),
            offset: block.offset(),
            len: shape.len as u64,
        };
        directory.publish(index, place);
        std::mem::forget(claim);
        block.commit()?;
        Ok((index, place, true))
    }

    #[inline]
    fn lend<T: Shared>(&self, index: u32, place: Place) -> Result<Object<'r, T>, ObjectErrorKind> {
        let start = self.check(index, place, Shape::one::<T>())?;
        // SAFETY: a T lies there (header), inside and aligned as was checked, mapped as long as the
        // ground is borrowed, and not written to but as T itself permits.
        let value = unsafe { start.cast::<T>().as_ref() };
        Ok(Object { value, offset: place.offset, index })
    }

    fn lend_array<T: Shared>(
        &self,
        index: u32,
        place: Place,
    ) -> Result<Object<'r, [T]>, ObjectErrorKind> {
        let broken = ObjectErrorKind::BrokenEntry { index };
        let len = usize::try_from(place.len).map_err(|_| broken)?;
        let shape = Shape::array::<T>(len).map_err(|_| broken)?;
        let start = self.check(index, place, shape)?;
        let slice = NonNull::slice_from_raw_parts(start.cast::<T>(), len);
        // SAFETY: as in `lend`, of as many values.
        let value = unsafe { slice.as_ref() };
        Ok(Object { value, offset: place.offset, index })
    }

    /// Where it lies, if it is of that shape and inside.
    #[inline]
    fn check(
        &self,
        index: u32,
        place: Place,
        shape: Shape,
    ) -> Result<NonNull<u8>, ObjectErrorKind> {
        let Place { fingerprint: found, offset, len } = place;
        if found != shape.fingerprint.bits() {
            return Err(ObjectErrorKind::OtherType { expected: shape.fingerprint, found });
        }
        let end = offset.checked_add(shape.layout.size() as u64);
        let inside = end.is_some_and(|end| end <= self.0.len_bytes());
        let aligned = offset.is_multiple_of(shape.layout.align() as u64);
        if offset == 0 || !inside || !aligned || len != shape.len as u64 {
            return Err(ObjectErrorKind::BrokenEntry { index });
        }
        Ok(self.0.arena().at(offset))
    }

    /// The object of an entry, if it still lies at `offset`.
    pub(crate) fn of_entry<T: Shared>(
        &self,
        index: u32,
        offset: u64,
    ) -> ObjectResult<Object<'r, T>> {
        let place = self.0.directory().entry(index).read(|_| true);
        let place = place.filter(|place| place.offset == offset);
        Ok(self.lend(index, place.ok_or(ObjectErrorKind::NotFound)?)?)
    }
}

fn key(name: &str) -> Result<Name, ObjectErrorKind> {
    Name::new(name).ok_or(ObjectErrorKind::NameLength { len: name.len() })
}

impl<'r, T: ?Sized> Object<'r, T> {
    /// Where it lies, from the beginning of the memory, in bytes: the same in all processes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of its entry in the directory.
    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    /// The value for as long as the memory is borrowed, which may be longer than this lives.
    #[must_use]
    pub fn get(&self) -> &'r T {
        self.value
    }
}

impl<T: ?Sized> Clone for Object<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Object<'_, T> {}

impl<T: ?Sized> Deref for Object<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Object<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("offset", &self.offset).field("value", &self.value).finish()
    }
}
