//! What this kernel and this process may do, probed once, each with the reason when it is absent.
