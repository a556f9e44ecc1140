//! What `remap` may do.

/// How a map may change its length.
#[derive(Copy, Clone, Default, Debug)]
pub struct RemapOptions {
    pub(super) may_move: bool,
}

impl RemapOptions {
    /// In place or not at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the map may get another address where there is no room behind it.
    ///
    /// With the feature `stable_deref_trait` others may count on its address: moving it is
    /// undefined behaviour then.
    pub fn may_move(mut self, may_move: bool) -> Self {
        self.may_move = may_move;
        self
    }
}
