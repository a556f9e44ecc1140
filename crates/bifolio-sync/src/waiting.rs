//! The waits that events, semaphores and latches have in common.

/// `wait`, `wait_until`, `wait_for` for a type with a word and a pace.
macro_rules! waiting {
    ($name:ident, $until:literal) => {
        impl $name {
            #[doc = concat!("Waits until ", $until, ".")]
            ///
            /// # Errors
            ///
            /// The kernel refuses a seat, or to let it sleep.
            ///
            /// # Panics
            ///
            /// It does not lie in the memory of `peers`.
            #[inline]
            pub fn wait(&self, peers: &impl $crate::Peers) -> $crate::Result<()> {
                self.within(peers, $crate::wait::Patience::ENDLESS).map(drop)
            }

            #[doc = concat!("Waits until ", $until, ", until `deadline` at most; whether it did.")]
            ///
            /// # Errors
            ///
            /// As `wait`.
            ///
            /// # Panics
            ///
            /// As `wait`.
            pub fn wait_until(
                &self,
                peers: &impl $crate::Peers,
                deadline: $crate::Deadline,
            ) -> $crate::Result<bool> {
                self.within(peers, $crate::wait::Patience::until(deadline))
            }

            #[doc = concat!("Waits until ", $until, ", for `duration` at most; whether it did.")]
            ///
            /// # Errors
            ///
            /// As `wait`.
            ///
            /// # Panics
            ///
            /// As `wait`.
            pub fn wait_for(
                &self,
                peers: &impl $crate::Peers,
                duration: core::time::Duration,
            ) -> $crate::Result<bool> {
                self.within(peers, $crate::wait::Patience::lasting(duration))
            }

            #[inline]
            fn within(
                &self,
                peers: &impl $crate::Peers,
                patience: $crate::wait::Patience,
            ) -> $crate::Result<bool> {
                $crate::held::inside(peers, self);
                $crate::wait::in_time($crate::wait::wait_for(peers, self, &self.pace, patience))
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.word.peek()).finish()
            }
        }
    };
}

pub(crate) use waiting;
