//! Guarded access: instructions whose faults are values.
