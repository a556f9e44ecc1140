//! What kinds whose bytes are all of their body say in the same words.
//!
//! The promise of each, and whatever makes slices of it, stands in the kind's own file.
//!
//! # Safety
//!
//! `Mapping` is unsafe to implement; the macro's documentation says who vouches for what.
#![allow(unsafe_code, reason = "implements an unsafe trait")]

/// Gives a type with a field `body`, and others that are named last, what all mappings have:
/// [`Access`](crate::Access), [`Pages`](crate::Pages), [`Mapping`](crate::Mapping), `Debug` and
/// `unmap`.
///
/// The type promises the numbered points of [`Mapping`](crate::Mapping): its body owns the pages
/// (0), its file argues about references (1), and it shows all bytes (2).
macro_rules! kind {
    ($kind:ident, $sharing:ident, $protection:ident $(, $kept:ident)*) => {
        impl $crate::access::Access for $kind {
            #[inline]
            fn view(&self) -> $crate::access::View<'_> {
                self.body.view()
            }
        }

        impl $crate::pages::sealed::HasBody for $kind {
            #[allow(private_interfaces, reason = "sealed")]
            fn body(&self) -> &$crate::body::Body {
                &self.body
            }
        }

        // SAFETY: the body owns its pages for the value's life (0); the header of this file argues
        // about references (1); the view covers all bytes (2).
        unsafe impl $crate::mapping::Mapping for $kind {
            fn as_ptr(&self) -> *const u8 {
                self.body.ptr().as_ptr()
            }

            fn sharing(&self) -> $crate::mapping::Sharing {
                $crate::mapping::Sharing::$sharing
            }

            fn protection(&self) -> $crate::mapping::Protection {
                $crate::mapping::Protection::$protection
            }
        }

        impl $kind {
            /// Unmaps it and says whether that worked, which dropping it cannot.
            ///
            /// # Errors
            ///
            /// What munmap(2) reports, with the mapping: `ENOMEM` where it would leave the process
            /// more areas than it may have.
            pub fn unmap(self) -> $crate::error::Result<(), ($kind, $crate::error::Error)> {
                let $kind { body $(, $kept)* } = self;
                body.unmap().map_err(|(body, error)| ($kind { body $(, $kept)* }, error))
            }
        }

        impl core::fmt::Debug for $kind {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.debug_struct(stringify!($kind))
                    .field("object", &self.body.origin.object)
                    .field("ptr", &self.body.ptr())
                    .field("len", &self.body.len())
                    .finish()
            }
        }
    };
}

pub(crate) use kind;
