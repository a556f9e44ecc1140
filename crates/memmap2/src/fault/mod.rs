//! A fault under a map: by whose policy, with which words, and where it is recorded.
//!
//! No map is known by name here, and mapping costs nothing for it: the handler asks the kernel
//! which file lies at the address.

mod desk;
mod policy;
mod record;
mod report;
mod resolve;

pub use policy::{OnFault, VARIABLE, on_fault, set_on_fault};
pub use record::{Fault, Faults, take_faults};

pub(crate) use policy::settle;
pub(crate) use resolve::{Repair, resolve};
